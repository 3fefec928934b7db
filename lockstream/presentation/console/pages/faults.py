"""The queue of faults: those that degrade a door first, grouped by locker."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.presentation.console.api import Answer, Failed
from lockstream.presentation.console.pages.shared import (
    ListFilter,
    Page,
    PageRequest,
    PageRoute,
    list_or_refusal,
    list_page,
)

_STATES = (("true", "Open"), ("false", "Cleared"), ("all", "Open and cleared"))
_SEVERITIES = (("", "All"), *((str(lowest), f"{lowest} or more") for lowest in range(1, 6)))
_MAX_PAGES = 10
"""Pages of the API that are read for one page of faults of low severity, because severe faults stand between them."""

type Fault = dict[str, Any]


class LockerFaults(NamedTuple):
    """The faults of a locker on one page, the worst and oldest first."""

    locker_id: str
    faults: list[Fault]


async def show_faults(wanted: PageRequest) -> Page:
    """Return the queue of open faults, or the list of cleared ones."""
    state = wanted.query.get("open", "true")
    if state == "true":
        return await _queue(wanted)
    query = wanted.query_without("open") | ({} if state == "all" else {"open": state})
    found = await list_or_refusal(wanted, "/faults", **query)
    return list_page(wanted, "faults.html", "Faults", found, fields=_fields(wanted))


async def _queue(wanted: PageRequest) -> Page:
    """Return the open faults.

    The API lists faults by the time of their report. So those that degrade a door are asked for first, the oldest
    report first, and the others behind the last of them. Each page is grouped by locker.
    """
    query = wanted.query_without("open", "after", "low_after") | {"open": "true", "order": "asc"}
    lowest, low_after = query.get("min_severity", "0"), wanted.query.get("low_after")
    has_low = lowest in map(str, range(DEGRADING_SEVERITY))
    severe: Answer | Failed | None = None
    low: Answer | Failed | None = None
    if low_after is None or not has_low:
        least = str(DEGRADING_SEVERITY) if has_low else lowest
        severe = await list_or_refusal(
            wanted, "/faults", **query | {"min_severity": least, "after": wanted.query.get("after")}
        )
    if has_low and (severe is None or (severe.value is not None and severe.value["next"] is None)):
        low = await _low(wanted, query, low_after)
    network = await wanted.api.part("/network")
    answers = tuple(answer for answer in (severe, low) if answer)
    return Page(
        "fault_queue.html",
        "Faults",
        {
            "severe": severe,
            "low": low,
            "groups": _grouped(severe),
            "low_groups": _grouped(low),
            "totals": network.value["open_faults"] if network.value else [],
            "fields": _fields(wanted),
            "title": "Faults that degrade a door" if has_low else f"Severity {lowest} or more",
            "has_low": has_low,
        },
        answers=answers,
        csv=f"/faults?{urlencode(query)}",
        has_live_parts=low_after is None and "after" not in wanted.query,
    )


async def _low(wanted: PageRequest, query: Mapping[str, str], after: str | None) -> Answer | Failed:
    """Return a page of the open faults that degrade no door. The API has no filter for them, so others are left out."""
    pages = 0
    while True:
        found = await list_or_refusal(wanted, "/faults", **{**query, "after": after})
        if isinstance(found, Failed):
            return found
        rows = [fault for fault in found.value["items"] if fault["severity"] < DEGRADING_SEVERITY]
        after, pages = found.value["next"], pages + 1
        if rows or after is None or pages == _MAX_PAGES:
            return found._replace(value={**found.value, "items": rows})


def _grouped(answer: Answer | Failed | None) -> list[LockerFaults]:
    """Return the faults of a page by locker, the locker with the worst and then oldest fault first."""
    if answer is None or answer.value is None:
        return []
    by_locker: dict[str, list[Fault]] = {}
    for fault in sorted(answer.value["items"], key=_urgency):
        by_locker.setdefault(fault["locker_id"], []).append(fault)
    return [LockerFaults(locker_id, faults) for locker_id, faults in by_locker.items()]


def _urgency(fault: Fault) -> tuple[int, int]:
    return -fault["severity"], fault["reported_position"]


def _fields(wanted: PageRequest) -> Sequence[ListFilter]:
    query = wanted.query
    return [
        ListFilter("open", "State", query.get("open", "true"), _STATES),
        ListFilter("min_severity", "Severity", query.get("min_severity", ""), _SEVERITIES),
        ListFilter("locker_id", "Locker", query.get("locker_id", ""), hint="station-7"),
    ]


PAGES = (PageRoute("/faults", show_faults),)
