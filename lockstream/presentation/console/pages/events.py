"""One event as it is in the log, and the live feed of all events."""

import asyncio
import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from fastapi import Response

from lockstream.core.entities.access import Scope
from lockstream.core.wording import quoted
from lockstream.presentation.console.api import Answer, ApiRefused, Failed, api_path
from lockstream.presentation.console.pages.shared import (
    NOT_FOUND,
    TYPE_CHOICES,
    UNPROCESSABLE,
    ListFilter,
    Page,
    PageRequest,
    PageRoute,
    list_or_refusal,
)

SHOWN_EVENTS = 50
"""Events on a page of the feed."""

_WINDOWS = (50, 1_000, 10_000)
"""Numbers of positions that are searched in turn for the events of a page, because the API has no feed backwards."""

_POSITION = re.compile("[0-9]{1,18}")


class _Line(msgspec.Struct):
    """The payload of a line of the log, whose values stay as they were sent."""

    payload: dict[str, msgspec.Raw]


class Found(NamedTuple):
    """Events of the feed, the newest first."""

    items: list[dict[str, Any]]
    older: int | None
    """The position before which the next page begins, or None on the last page."""

    answer: Answer | Failed


async def show_event(wanted: PageRequest) -> Page | Response:
    """Return an event with its text, or lead to the quarantine if it was refused."""
    event_id = wanted.parameters["event_id"]
    path = api_path("events", event_id)
    try:
        answer, body = await wanted.api.get_raw(path)
    except ApiRefused as refused:
        if refused.status != NOT_FOUND or not wanted.may(Scope.QUARANTINE):
            raise
        kept = await wanted.api.part(api_path("quarantine", event_id))
        if kept.value is None:
            raise
        return wanted.redirect(api_path("quarantine", event_id))
    event = answer.value
    history, position = f"{api_path('lockers', event['locker_id'])}/events", event["position"]
    earlier, later = await asyncio.gather(
        wanted.api.part(history, until=position - 1, order="desc", limit=1),
        wanted.api.part(history, since=position + 1, limit=1),
    )
    return Page(
        "event.html",
        f"Event {event_id}",
        {
            "event": event,
            "text": body.decode(),
            "earlier": _first(earlier),
            "later": _first(later),
            "payload": _payload(body),
        },
        answers=(answer,),
    )


async def show_feed(wanted: PageRequest) -> Page:
    """Return the newest events, or those before a position."""
    query = wanted.query
    event_type, locker_id, before = query.get("type"), query.get("locker_id"), query.get("before")
    if before and not _POSITION.fullmatch(before):
        raise ApiRefused(
            UNPROCESSABLE, f"The query parameter before is {quoted(before)}. Send a position, such as 81204."
        )
    head = await wanted.api.get("/events", after="head", limit=1)
    newest = head.value["head"]
    end = min(int(before) - 1, newest) if before else newest
    if locker_id:
        found = await _of_locker(wanted, locker_id, event_type, max(end, 0))
    else:
        found = await _searched(wanted, event_type, max(end, 0))
    fields = [
        ListFilter("type", "Type", event_type or "", TYPE_CHOICES),
        ListFilter("locker_id", "Locker", locker_id or "", hint="station-7"),
    ]
    filters = {name: value for name, value in (("type", event_type), ("locker_id", locker_id)) if value}
    return Page(
        "feed.html",
        "Feed",
        {"found": found, "fields": fields, "is_newest": not before},
        answers=(found.answer._replace(position=newest),),
        csv=found.answer.path if found.items else None,
        has_live_parts=not before and found.answer.value is not None,
        live_query="".join(f"&{name}={api_path(value)[1:]}" for name, value in filters.items()),
    )


async def _of_locker(wanted: PageRequest, locker_id: str, event_type: str | None, end: int) -> Found:
    """Return the events of one locker up to a position. A locker without events has none."""
    path = f"{api_path('lockers', locker_id)}/events"
    try:
        answer = await list_or_refusal(wanted, path, order="desc", until=end, limit=SHOWN_EVENTS, type=event_type)
    except ApiRefused as refused:
        if refused.status != NOT_FOUND:
            raise
        answer = Failed(str(refused), path)
    if answer.value is None:
        return Found([], None, answer)
    items = answer.value["items"]
    return Found(items, items[-1]["position"] if answer.value["next"] else None, answer)


async def _searched(wanted: PageRequest, event_type: str | None, end: int) -> Found:
    """Return the events up to a position, of a part of the log that grows until a page is full."""
    items: list[dict[str, Any]] = []
    start = end
    answer: Answer | Failed = Failed("", "/events")
    for window in _WINDOWS:
        start = max(0, end - window)
        answer = await list_or_refusal(wanted, "/events", after=start, limit=window, type=event_type)
        if answer.value is None:
            return Found([], None, answer)
        items = [item for item in answer.value["items"] if item["position"] <= end][::-1]
        if len(items) >= SHOWN_EVENTS or not start:
            break
    shown = items[:SHOWN_EVENTS]
    older = shown[-1]["position"] if len(items) > SHOWN_EVENTS else start + 1
    query = {"after": older - 1, "limit": len(shown) or 1, **({"type": event_type} if event_type else {})}
    return Found(shown, older if older > 1 else None, answer._replace(path=f"/events?{urlencode(query)}"))


def _first(answer: Answer | Failed) -> dict[str, Any] | None:
    return next(iter(answer.value["items"]), None) if answer.value else None


def _payload(line: bytes) -> list[tuple[str, str]]:
    """Return the members of an event's payload: texts as they are, and all others as the JSON that was sent."""
    members = msgspec.json.decode(line, type=_Line).payload
    return [
        (name, msgspec.json.decode(raw) if bytes(raw).startswith(b'"') else bytes(raw).decode())
        for name, raw in members.items()
    ]


PAGES = (
    PageRoute("/events/{event_id}", show_event),
    PageRoute("/feed", show_feed),
)
