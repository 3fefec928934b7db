"""The list of lockers, a locker as a wall of doors at any moment, a door, and their histories."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple

from fastapi import Response

from lockstream.core.entities.state import DEGRADING_SEVERITY, Status
from lockstream.presentation.console.api import Answer, ApiRefused, Failed, api_path
from lockstream.presentation.console.pages.shared import (
    NOT_FOUND,
    TYPE_CHOICES,
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
from lockstream.presentation.console.pages.wall import MAX_STEPS, columns_of, rows_of, steps_of
from lockstream.presentation.console.texts import instant
from lockstream.presentation.http.routes.shared.pages import MAX_ITEMS

_YES_NO = (("", "All"), ("true", "Yes"), ("false", "No"))
_ORDERS = (("", "Id"), ("last_event", "Last event"), ("available", "Free doors"), ("degraded", "Degraded doors"))
_DIRECTIONS = (("", "Lowest or oldest first"), ("desc", "Highest or newest first"))
_SHOWN_EVENTS = 20
"""Events of a locker in each of its two lists."""

_READ_REPORTS = 20
"""Most open faults of a door whose reports are read, for the times of the reports."""


class OpenFault(NamedTuple):
    """An open fault of a door."""

    fault: dict[str, Any]
    report: dict[str, Any] | None
    """The event that reported the fault, if it was read."""


async def show_lockers(wanted: PageRequest) -> Page:
    """Return the list of lockers."""
    query = wanted.query
    found = await list_or_refusal(wanted, "/lockers", **query)
    fields = [
        ListFilter("q", "Id begins with", query.get("q", ""), hint="station-"),
        ListFilter("available", "Has a free door", query.get("available", ""), _YES_NO),
        ListFilter("degraded", "Has a degraded door", query.get("degraded", ""), _YES_NO),
        ListFilter("silent", "Silent", query.get("silent", ""), _YES_NO),
        ListFilter("sort", "Sorted by", query.get("sort", ""), _ORDERS),
        ListFilter("order", "Order", query.get("order", ""), _DIRECTIONS),
    ]
    return list_page(wanted, "lockers.html", "Lockers", found, fields=fields)


async def show_locker(wanted: PageRequest) -> Page | Response:
    """Return a locker as a wall of doors, now or at an earlier moment."""
    locker_id = wanted.parameters["locker_id"]
    path, query = api_path("lockers", locker_id), wanted.query
    if moment := moment_of(query):
        return wanted.redirect(path, at=moment)
    at = query.get("at")
    try:
        state = await wanted.api.get(f"{path}/state", at=at)
    except ApiRefused as refused:
        return await _not_known_yet(wanted, refused, path, f"Locker {locker_id}", "wall")
    history = await wanted.api.part(
        f"{path}/events", order="desc", limit=MAX_STEPS, until=state.position if at else None
    )
    later = await wanted.api.part(f"{path}/events", limit=MAX_STEPS, since=(state.position or 0) + 1) if at else None
    late = None if at else await _overdue_in(wanted, locker_id)
    first = await wanted.api.part(f"{path}/events", limit=1)
    known_since = first.value["items"][0]["recorded_at"] if first.value else None
    doors = state.value["compartments"]
    rows = rows_of(doors)
    steps = steps_of(history, later)
    at_time = at if at and not at.isdecimal() else None
    return Page(
        "locker.html",
        f"Locker {locker_id}",
        {
            "locker_id": locker_id,
            "state": state,
            "rows": rows,
            "columns": columns_of(rows),
            "totals": _totals(doors),
            "late": late,
            "late_doors": _doors_with(late, doors),
            "history": history,
            "later": later,
            "shown_events": _SHOWN_EVENTS,
            "steps": steps,
            "known_since": known_since,
            "at_time": at_time,
            "typed_time": at_time or (steps.items[steps.shown].recorded_at if at and steps else ""),
            **_moments(known_since),
        },
        answers=(state, history) if late is None else (state, history, late),
        has_live_parts=not at,
        live_query=feed_of_locker(locker_id),
    )


async def show_door(wanted: PageRequest) -> Page:
    """Return a door with its history, now or at an earlier moment."""
    locker_id, compartment_id = wanted.parameters["locker_id"], wanted.parameters["compartment_id"]
    path = api_path("lockers", locker_id, "compartments", compartment_id)
    at = wanted.query.get("at")
    try:
        status = await wanted.api.get(path, at=at)
    except ApiRefused as refused:
        return await _not_known_yet(wanted, refused, path, f"Door {compartment_id} of {locker_id}", "door")
    moment = status.position if at else None
    state = await wanted.api.get(f"{api_path('lockers', locker_id)}/state", at=moment)
    history = await wanted.api.part(
        f"{path}/events", order="desc", limit=50, after=wanted.query.get("after"), until=moment
    )
    door = next((one for one in state.value["compartments"] if one["compartment_id"] == compartment_id), None)
    if door is None:  # a read replica may have gone back between two reads
        raise ApiRefused(NOT_FOUND, f"The locker has no compartment {compartment_id!r} yet. Load the page again.")
    faults = await _open_faults(wanted, door)
    return Page(
        "door.html",
        f"Door {compartment_id} of {locker_id}",
        {
            "locker_id": locker_id,
            "compartment_id": compartment_id,
            "door": door,
            "faults": faults,
            "degraded_since": _degraded_since(faults),
            "moment": moment,
            "history": history,
        },
        answers=(status, history),
        csv=history.path,
        has_live_parts=not at and "after" not in wanted.query,
        live_query=feed_of_locker(locker_id),
    )


async def show_history(wanted: PageRequest) -> Page:
    """Return the events of a locker, or of one of its doors."""
    locker_id, compartment_id = wanted.parameters["locker_id"], wanted.parameters.get("compartment_id")
    path, query = api_path("lockers", locker_id), {"order": "desc", **wanted.query}
    if compartment_id is not None:
        path += api_path("compartments", compartment_id)
    found = await list_or_refusal(wanted, f"{path}/events", **query)
    fields = [
        ListFilter("type", "Type", query.get("type", ""), TYPE_CHOICES),
        ListFilter("since", "Since (position or time)", query.get("since", ""), hint="81204"),
        ListFilter("until", "Until (position or time)", query.get("until", ""), hint="2026-11-22T12:00:00Z"),
        ListFilter("order", "Order", query["order"], (("desc", "Newest first"), ("asc", "Oldest first"))),
    ]
    return Page(
        "history.html",
        f"Events of {locker_id}" if compartment_id is None else f"Events of door {compartment_id} of {locker_id}",
        {"list": found, "fields": fields, "locker_id": locker_id, "compartment_id": compartment_id},
        answers=(found,),
        csv=found.path,
        has_live_parts="after" not in query,
        live_query=feed_of_locker(locker_id),
    )


async def _not_known_yet(wanted: PageRequest, refused: ApiRefused, path: str, title: str, picture: str) -> Page:
    """Return the page of a moment before a locker or a door was known. It leads to the first event and to now.

    Raises:
        ApiRefused: the locker or the door is not known now either, or was refused for another reason.
    """
    if refused.status != NOT_FOUND or "at" not in wanted.query:
        raise refused
    first = await wanted.api.get(f"{path}/events", limit=1)
    values = {"detail": str(refused), "first": first.value["items"][0], "picture": picture}
    return Page("not_known_yet.html", title, values, status=NOT_FOUND, answers=(first,))


async def _overdue_in(wanted: PageRequest, locker_id: str) -> Answer | Failed:
    """Return the overdue parcels of a locker."""
    before = time_before(wanted.overdue_hours)
    query = {"status": Status.DEPOSITED.value, "locker_id": locker_id, "changed_before": before, "limit": MAX_ITEMS}
    return await wanted.api.part("/reservations", **query)


def _doors_with(late: Answer | Failed | None, doors: list[dict[str, Any]]) -> set[str]:
    """Return the ids of the doors whose parcels are overdue. Each parcel counts where the wall shows it."""
    parcels = {parcel["reservation_id"] for parcel in late.value["items"]} if late and late.value else set()
    return {door["compartment_id"] for door in doors if door["active_reservation"] in parcels}


def _moments(known_since: str | None) -> dict[str, str | None]:
    """Return the times that are one click away. A time before the locker was known is None."""
    now = datetime.now(UTC).replace(microsecond=0)
    times = {
        "yesterday_noon": (now - timedelta(days=1)).replace(hour=12, minute=0, second=0),
        "day_ago": now - timedelta(days=1),
        "week_ago": now - timedelta(days=7),
    }
    first = instant(known_since) if known_since else min(times.values())
    return {name: f"{time:%Y-%m-%dT%H:%M:%SZ}" if time >= first else None for name, time in times.items()}


async def _open_faults(wanted: PageRequest, door: dict[str, Any]) -> list[OpenFault]:
    """Return the open faults of a door, the worst first, with the events that have reported the first of them."""
    faults = sorted(door["open_faults"], key=lambda fault: -fault["severity"])
    paths = [api_path("events", fault["fault_id"]) for fault in faults[:_READ_REPORTS]]
    reports = await asyncio.gather(*(wanted.api.part(path) for path in paths))
    return [OpenFault(*pair) for pair in zip_longest(faults, (report.value for report in reports))]


def _degraded_since(faults: list[OpenFault]) -> str | None:
    """Return when the oldest of the faults that degrade a door was reported, of those whose reports were read."""
    times = (one.report["recorded_at"] for one in faults if one.report and one.fault["severity"] >= DEGRADING_SEVERITY)
    return min(times, default=None)


def _totals(doors: list[dict[str, Any]]) -> dict[str, int]:
    counts = {state: sum(door["status"] == state for door in doors) for state in ("available", "reserved", "occupied")}
    return counts | {"degraded": sum(door["degraded"] for door in doors)}


PAGES = (
    PageRoute("/lockers", show_lockers),
    PageRoute("/lockers/{locker_id}", show_locker),
    PageRoute("/lockers/{locker_id}/events", show_history),
    PageRoute("/lockers/{locker_id}/compartments/{compartment_id}", show_door),
    PageRoute("/lockers/{locker_id}/compartments/{compartment_id}/events", show_history),
)
