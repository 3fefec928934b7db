"""The first page: the health of the system, what needs a person now, totals, activity, and the newest events."""

import asyncio
from operator import itemgetter
from typing import Any, NamedTuple

from fastapi import Response

from lockstream.core.entities.access import Scope
from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.presentation.console.api import Answer, Failed
from lockstream.presentation.console.pages.shared import Page, PageRequest, PageRoute, time_before
from lockstream.presentation.console.runbook import RUNBOOK
from lockstream.presentation.console.texts import clock, duration, instant

COUNTED = 100
"""Most overdue parcels, and most silent lockers, that are counted. More are shown as `100+`."""

_SHOWN = 5
_NEWEST = 10
_BOUND_WINDOW = 1_000
"""Positions of the whole log that are searched for the newest events of a caller that is bound to lockers."""

_SHOWN_SCOPES = frozenset({Scope.READ, Scope.FEED, Scope.QUARANTINE})
"""Scopes of which each shows a part of the page."""

type Part = Answer | Failed | None
"""An answer, why there is none, or None if the key lacks the scope."""


class Chart(NamedTuple):
    """The accepted events of an hour or a day."""

    name: str
    title: str
    unit: str
    steps: list[tuple[str, int]]
    """Begin of each step, as a text, and its events."""

    total: int
    most: int
    """Events of the busiest step."""

    summary: str
    """The text alternative."""


async def show_overview(wanted: PageRequest) -> Page | Response:
    """Return the overview. All its parts are asked for at the same time, and a part may be missing.

    A key that sees no part, but manages keys, is led to them.
    """
    if wanted.may(Scope.ADMIN) and wanted.scopes.isdisjoint(_SHOWN_SCOPES):
        return wanted.redirect("/keys")
    reads, is_whole = wanted.may(Scope.READ), wanted.api.caller.lockers is None
    hours = wanted.overdue_hours
    faults = f"/faults?open=true&min_severity={DEGRADING_SEVERITY}&order=asc&limit={COUNTED}"
    overdue = f"/reservations?status=DEPOSITED&order=asc&changed_before={time_before(hours)}&limit={COUNTED}"
    is_operator = reads and is_whole
    silent_lockers = f"/lockers?silent=true&limit={COUNTED}"
    system, network, hour, day, severe, late, silent, quarantine, tail = await asyncio.gather(
        _part(wanted, "/system", is_allowed=is_operator),
        _part(wanted, "/network", is_allowed=reads),
        _part(wanted, "/network/activity?span=hour", is_allowed=is_operator),
        _part(wanted, "/network/activity?span=day", is_allowed=is_operator),
        _part(wanted, faults, is_allowed=reads),
        _part(wanted, overdue, is_allowed=reads),
        _part(wanted, silent_lockers, is_allowed=reads),
        _part(wanted, "/quarantine?limit=1", is_allowed=wanted.may(Scope.QUARANTINE)),
        _newest_events(wanted, _NEWEST if is_whole else _BOUND_WINDOW),
    )
    answers = (system, network, hour, day, severe, late, silent, quarantine, tail)
    return Page(
        "overview.html",
        "Overview",
        {
            "system": system,
            "network": network,
            "charts": [_chart(part) for part in (hour, day) if isinstance(part, Answer)],
            "activity": hour,
            "severe": severe,
            "worst": _worst(severe),
            "severe_count": _severe_count(network),
            "overdue": late,
            "silent": silent,
            "longest_silent": _longest_silent(silent),
            "quarantine": quarantine,
            "tail": tail,
            "events": tail.value["items"][::-1][:_NEWEST] if tail and tail.value else [],
            "is_whole": is_whole,
            "hours": f"{hours:g}",
            "overdue_age": duration(hours * 3600),
            "runbook": RUNBOOK,
        },
        answers=tuple(answer for answer in answers if answer),
        has_live_parts=True,
    )


async def _part(wanted: PageRequest, path: str, *, is_allowed: bool) -> Part:
    """Return a part of the page, or None if the key does not allow it. It is not asked for then."""
    return await wanted.api.part(path) if is_allowed else None


async def _newest_events(wanted: PageRequest, window: int) -> Part:
    """Return the events of the last positions of the log."""
    if not wanted.may(Scope.FEED):
        return None
    head = await wanted.api.part("/events", after="head", limit=1)
    if head.value is None:
        return head
    return await wanted.api.part("/events", after=max(0, head.value["head"] - window), limit=window)


def _worst(severe: Part) -> list[dict[str, Any]]:
    """Return the worst of the listed faults, and of equal ones the oldest."""
    faults = severe.value["items"] if severe and severe.value else []
    return sorted(faults, key=lambda fault: (-fault["severity"], fault["reported_position"]))[:_SHOWN]


def _severe_count(network: Part) -> int:
    if network is None or network.value is None:
        return 0
    return sum(one["count"] for one in network.value["open_faults"] if one["severity"] >= DEGRADING_SEVERITY)


def _longest_silent(silent: Part) -> list[dict[str, Any]]:
    """Return the lockers that were heard of longest ago, of those that were counted."""
    found = silent.value["items"] if silent and silent.value else []
    return sorted(found, key=itemgetter("last_position"))[:_SHOWN]


def _chart(activity: Answer) -> Chart:
    body = activity.value
    is_hour = body["span"] == "hour"
    unit = "minute" if is_hour else "quarter of an hour"
    steps = [(item["at"], item["events"]) for item in body["items"]]
    total = sum(events for _, events in steps)
    busiest, most = max(steps, key=lambda step: step[1])
    summary = f"{total:,} in total"
    if total:
        summary += f", most in the {unit} from {clock(busiest)[11:]}: {most:,}"
    begin, now = instant(steps[0][0]), instant(steps[-1][0])
    return Chart(
        body["span"],
        f"Events a {unit}, last {body['span']}",
        unit,
        steps,
        total,
        most,
        f"Events a {unit} from {begin:%H:%M} to {now:%H:%M} UTC: {summary}",
    )


PAGES = (PageRoute("", show_overview),)
