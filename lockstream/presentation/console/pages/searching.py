"""The search: lockers, doors, parcels and events by the beginning of their ids, and an event by its position."""

import asyncio
from typing import Any, NamedTuple

from fastapi import Response

from lockstream.core.entities.access import Scope
from lockstream.presentation.console.api import api_path
from lockstream.presentation.console.pages.shared import Page, PageRequest, PageRoute, list_or_refusal

_MAX_DIGITS = 15
_NOTHING: dict[str, list[Any]] = {"lockers": [], "compartments": [], "reservations": [], "events": []}


class Match(NamedTuple):
    """A subject or an event that a search has found."""

    path: str
    """The path of its page behind that of the console."""

    label: str
    note: str = ""


class Matches(NamedTuple):
    """The matches of one kind."""

    title: str
    matches: list[Match]


class OtherCase(NamedTuple):
    """The matches of a text in another case than it was typed in."""

    text: str
    groups: list[Matches]


async def show_search(wanted: PageRequest) -> Page | Response:
    """Return all matches, or lead to the only one whose whole id was typed.

    If nothing matches, the text is searched for in upper and in lower case as well.
    """
    text = wanted.query.get("q", "").strip()
    if not text:
        return Page("search.html", "Search", {"text": "", "found": None, "groups": [], "others": [], "tried": []})
    found = await list_or_refusal(wanted, "/search", q=text)
    at_position = await _event_at(wanted, text)
    value = found.value or _NOTHING
    whole = _whole_ids(value, text)
    if len(whole) == 1:
        return wanted.redirect(whole[0])
    if at_position and not any(value.values()):
        return wanted.redirect(at_position.path)
    groups = _groups(value)
    if at_position:
        groups.append(Matches("Position", [at_position]))
    tried = _other_cases(text) if found.value and not groups else []
    others = await asyncio.gather(*(wanted.api.part("/search", q=form) for form in tried))
    return Page(
        "search.html",
        f"Search for {text}",
        {
            "text": text,
            "found": found,
            "groups": groups,
            "others": [
                OtherCase(form, _groups(other.value))
                for form, other in zip(tried, others, strict=True)
                if other.value and any(other.value.values())
            ],
            "tried": tried,
        },
        answers=(found, *others),
    )


async def _event_at(wanted: PageRequest, text: str) -> Match | None:
    """Return the event at the position that a text names, if it is a whole number and the feed may be read."""
    is_position = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and int(text) > 0
    if not is_position or not wanted.may(Scope.FEED):
        return None
    position = int(text)
    page = await wanted.api.part("/events", after=position - 1, limit=1)
    if page.value is None:
        return None
    events = [event for event in page.value["items"] if event["position"] == position]
    return Match(api_path("events", events[0]["event_id"]), f"Position {position:,}", "event") if events else None


def _whole_ids(value: dict[str, Any], text: str) -> list[str]:
    """Return the paths of the pages of those matches whose id is the whole text."""
    return [
        *(_locker(one).path for one in value["lockers"] if one == text),
        *(_door(one).path for one in value["compartments"] if one["compartment_id"] == text),
        *(_parcel(one).path for one in value["reservations"] if one == text),
        *(_event(one).path for one in value["events"] if one["event_id"] == text.lower()),
    ]


def _other_cases(text: str) -> list[str]:
    """Return a text in upper and in lower case, if it has another case."""
    return [form for form in (text.upper(), text.lower()) if form != text]


def _groups(value: dict[str, Any]) -> list[Matches]:
    """Return the kinds of which something was found."""
    groups = [
        Matches("Lockers", [_locker(one) for one in value["lockers"]]),
        Matches("Doors", [_door(one) for one in value["compartments"]]),
        Matches("Parcels", [_parcel(one) for one in value["reservations"]]),
        Matches("Events", [_event(one) for one in value["events"]]),
    ]
    return [group for group in groups if group.matches]


def _locker(locker_id: str) -> Match:
    return Match(api_path("lockers", locker_id), locker_id)


def _door(one: dict[str, str]) -> Match:
    path = api_path("lockers", one["locker_id"], "compartments", one["compartment_id"])
    return Match(path, one["compartment_id"], f"of locker {one['locker_id']}")


def _parcel(reservation_id: str) -> Match:
    return Match(api_path("reservations", reservation_id), reservation_id)


def _event(one: dict[str, Any]) -> Match:
    return Match(api_path("events", one["event_id"]), one["event_id"], f"position {one['position']:,}")


PAGES = (PageRoute("/search", show_search),)
