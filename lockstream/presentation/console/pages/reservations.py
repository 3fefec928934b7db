"""The list of parcels, those that lie too long, and the timeline of one parcel at any moment."""

from typing import Any

from fastapi import Response
from msgspec import Raw, Struct
from msgspec.json import decode

from lockstream.core.wording import quoted
from lockstream.presentation.console.api import Answer, Failed, api_path
from lockstream.presentation.console.pages.shared import (
    ListFilter,
    Page,
    PageRequest,
    PageRoute,
    feed_of_locker,
    list_or_refusal,
    list_page,
    moment_of,
    time_before,
)
from lockstream.presentation.console.texts import STATUS_WORDS, duration, seconds_since, time_of_field

_MAX_HOURS = 876_000
_LIMITS = (24, 48, 72, 168)
_LISTED_TIMES = {"changed_after": "Changed after (UTC)", "changed_before": "Changed before (UTC)"}


class _RawPage(Struct):
    """A page of events whose texts stay as they are."""

    items: list[Raw]


async def show_reservations(wanted: PageRequest) -> Page:
    """Return the list of parcels."""
    query = {"order": "desc", **wanted.query}
    query |= {name: time_of_field(query[name]) for name in _LISTED_TIMES if name in query}
    found = await list_or_refusal(wanted, "/reservations", **query)
    fields = [
        ListFilter("status", "Status", query.get("status", ""), (("", "All"), *STATUS_WORDS.items())),
        ListFilter("locker_id", "Locker", query.get("locker_id", ""), hint="station-7"),
        *(
            ListFilter(name, label, wanted.query.get(name, ""), kind="datetime-local")
            for name, label in _LISTED_TIMES.items()
        ),
        ListFilter("sort", "Sorted by", query.get("sort", ""), (("", "Last change"), ("id", "Id"))),
        ListFilter(
            "order", "Order", query["order"], (("desc", "Newest or highest first"), ("asc", "Oldest or lowest first"))
        ),
    ]
    return list_page(wanted, "reservations.html", "Parcels", found, fields=fields)


async def show_overdue(wanted: PageRequest) -> Page:
    """Return the parcels that were deposited longer ago than a number of hours, or before a time.

    The time is part of the address of each further page, and of the address for others.
    """
    text, fixed = wanted.query.get("older_than", ""), wanted.query.get("changed_before")
    hours = _hours_of(text) if text else wanted.overdue_hours
    before = time_of_field(fixed) if fixed else time_before(wanted.overdue_hours if hours is None else hours)
    query = wanted.query_without("older_than")
    query |= {"status": "DEPOSITED", "order": "asc", "changed_before": before}
    if hours is None:
        allowed = f"Send a number of hours from 0 to {_MAX_HOURS:,}, such as 72."
        found: Answer | Failed = Failed(f"The query parameter older_than is {quoted(text)}. {allowed}", "/reservations")
    else:
        found = await list_or_refusal(wanted, "/reservations", **query)
    limits = [(f"{limit:g}", duration(limit * 3600), limit == hours and not fixed) for limit in _LIMITS]
    fields = [
        ListFilter("older_than", "Older than (hours)", f"{hours:g}" if hours is not None else text, kind="number"),
        ListFilter("locker_id", "Locker", query.get("locker_id", ""), hint="station-7"),
    ]
    return Page(
        "overdue.html",
        "Overdue parcels",
        {
            "list": found,
            "fields": fields,
            "limits": limits,
            "before": before,
            "is_fixed": bool(fixed),
            "age": duration(hours * 3600) if hours else "",
        },
        answers=(found,),
        csv=found.path,
        has_live_parts="after" not in query and not fixed,
    )


async def show_reservation(wanted: PageRequest) -> Page | Response:
    """Return the timeline of a parcel, now or at an earlier moment."""
    reservation_id = wanted.parameters["reservation_id"]
    path = api_path("reservations", reservation_id)
    if moment := moment_of(wanted.query):
        return wanted.redirect(path, at=moment)
    at = wanted.query.get("at")
    state = await wanted.api.get(f"{path}/state", at=at)
    events, body = await wanted.api.get_raw(f"{path}/events", until=state.position if at else None)
    texts = [bytes(text).decode() for text in decode(body, type=_RawPage).items]
    steps = _steps(state.value, events.value["items"], texts)
    return Page(
        "reservation.html",
        f"Parcel {reservation_id}",
        {
            "reservation_id": reservation_id,
            "state": state,
            "steps": steps,
            "at_time": at if at and not at.isdecimal() else None,
            "is_overdue": not at and _is_overdue(state.value, wanted.overdue_hours),
        },
        answers=(state, events),
        csv=events.path,
        has_live_parts=not at,
        live_query=feed_of_locker(state.value["locker_id"]),
    )


def _steps(state: dict[str, Any], events: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
    """Return the steps of a parcel, each with its event, the text of the log, and the time of the step behind it.

    A step whose event was accepted between the two answers is left out.
    """
    by_position = {event["position"]: (event, text) for event, text in zip(events, texts, strict=True)}
    known = [step for step in state["steps"] if step["position"] in by_position]
    times = [*(step["occurred_at"] for step in known[1:]), None]
    return [
        step | {"event": by_position[step["position"]][0], "text": by_position[step["position"]][1], "later": time}
        for step, time in zip(known, times, strict=True)
    ]


def _is_overdue(state: dict[str, Any], hours: float) -> bool:
    """Return whether a parcel was deposited more than `hours` ago and still lies there."""
    return state["status"] == "DEPOSITED" and seconds_since(state["steps"][-1]["recorded_at"]) > hours * 3600


def _hours_of(text: str) -> float | None:
    try:
        hours = float(text)
    except ValueError:
        return None
    return hours if 0 <= hours <= _MAX_HOURS else None


PAGES = (
    PageRoute("/reservations", show_reservations),
    PageRoute("/reservations/{reservation_id}", show_reservation),
    PageRoute("/overdue", show_overdue),
)
