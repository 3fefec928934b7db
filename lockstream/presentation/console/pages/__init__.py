"""The pages, one module a subject; `shared` has what all of them need, `signing_in` the session's.

`overview` is the first page. `lockers` has the list, a locker as a wall of doors, and a door; `wall` orders the doors
and the events of a locker. `reservations` has parcels and overdue ones, `faults` the queue of faults, `events` a raw
event and the live feed, `searching` the search. `quarantine` shows and works off refused events. `system` shows the
server, and `keys` API keys and the audit log.
"""

from typing import NamedTuple

from lockstream.presentation.console.pages import (
    events,
    faults,
    keys,
    lockers,
    overview,
    quarantine,
    reservations,
    searching,
    system,
)
from lockstream.presentation.console.pages.shared import PageRoute

PAGES: tuple[PageRoute, ...] = (
    *overview.PAGES,
    *lockers.PAGES,
    *reservations.PAGES,
    *faults.PAGES,
    *events.PAGES,
    *searching.PAGES,
    *quarantine.PAGES,
    *system.PAGES,
    *keys.PAGES,
)
"""Every page. Of two that match, the first one counts."""


class Found(NamedTuple):
    """A page and the values in its path."""

    page: PageRoute
    parameters: dict[str, str]


def find_page(path: str) -> Found | None:
    """Return the page with a path behind that of the console."""
    given = path.split("/")
    for page in PAGES:
        segments = page.path.split("/")
        if len(segments) != len(given):
            continue
        parameters = {}
        for segment, value in zip(segments, given, strict=True):
            if segment[:1] == "{" and value:
                parameters[segment[1:-1]] = value
            elif segment != value:
                break
        else:
            return Found(page, parameters)
    return None
