"""A table of requests for every operation of the contract: ids of the caller's lockers, of others and unknown ones."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import quote

from lockstream.tests.presentation.http.access.networks import FOREIGN, OWN, REUSED
from lockstream.tests.support.builders import registered

UNKNOWN_ID = "00000000-0000-4000-8000-ffffffffffff"

IDS: dict[str, tuple[str, ...]] = {
    "locker_id": ("own-1", 'own-2"3', "own", "own-10", "own-3", "unknown", "own-20", "a\x01b"),
    "compartment_id": ("c1", "c2", "c9"),
    "reservation_id": (
        *("r-own-1-1-0", "r-own-1-2-0", 'r-own-2"3-3-0', "r-own-10-1-1", "r-own-2-1-1", "r-other-3-1", "r-unknown"),
    ),
    "event_id": (
        *(OWN.accepted[0]["event_id"], OWN.accepted[-1]["event_id"].upper(), OWN.refused[0]["event_id"]),
        *(FOREIGN.accepted[0]["event_id"], FOREIGN.accepted[-1]["event_id"].upper(), FOREIGN.refused[0]["event_id"]),
        *(FOREIGN.refused[-1]["event_id"], UNKNOWN_ID, "no-uuid", REUSED["event_id"]),
    ),
}
"""Values for the parameters of a path. The caller may see `own-1`, and all ids that begin with `own-2`."""

_PAGES = ("", "limit=1", "limit=4&{accept}")
_AT = ("", "at=0", "at={last}", "at={first}", "at={middle}", "at=2999-01-01T00:00:00Z", "at=1999-01-01T00:00:00Z")
_HISTORY = (
    *(*_PAGES, "order=desc", "type=FaultReported", "type=ParcelPickedUp&order=desc&limit=1"),
    *(
        "since={middle}",
        "until={middle}&order=desc",
        "since=2999-01-01T00:00:00Z",
        "until=2999-01-01T00:00:00Z",
    ),
)
_LOCKERS = ("own-1", "own-2", "own-10", "other", "unknown")

GETS: Mapping[str, tuple[str, ...]] = {
    "/events": (
        *("after=0&limit=1000", "after=0&limit=3", "after=0&limit=1000&{accept}"),
        *("after=0&limit=1000&{cloud}", "after=0&limit=1000&{csv}"),
        *("after=0&limit=1000&{ndjson}", "after=head", "from=2000-01-01T00:00:00Z&limit=1000", "limit=3"),
        *("after=0&type=FaultReported&limit=1000", "after=0&partition=1/3&limit=1000", "after=999999999"),
        *(f"after=0&limit=1000&locker_id={locker_id}" for locker_id in _LOCKERS),
    ),
    "/events/{event_id}": ("", "at=1"),
    "/network": ("", "at=1"),
    "/network/activity": ("", "span=day", "span=week"),
    "/system": ("", "at=1"),
    "/lockers": (
        *(*_PAGES, "q=own", "q=own-1", "q=own-10", "q=own-2", "q=other", "q=o&limit=1", "q=unknown"),
        *("available=true", "available=false", "degraded=true&limit=1", "degraded=false"),
        *("silent=true", "silent=false", "gone=true", "gone=false&limit=1"),
    ),
    "/lockers/{locker_id}": _AT,
    "/lockers/{locker_id}/state": (*_AT, "{known}"),
    "/lockers/{locker_id}/compartments": (*_PAGES, "status=occupied", "status=degraded&limit=1"),
    "/lockers/{locker_id}/events": _HISTORY,
    "/lockers/{locker_id}/compartments/{compartment_id}": _AT,
    "/lockers/{locker_id}/compartments/{compartment_id}/events": _HISTORY,
    "/reservations": (
        *(*_PAGES, "sort=id", "sort=id&limit=2&order=desc", "order=desc&limit=5", "status=EXPIRED", "status=CREATED"),
        *("changed_after=2000-01-01T00:00:00Z&limit=3", "changed_before=2000-01-01T00:00:00Z"),
        *(f"locker_id={locker_id}{more}" for locker_id, more in product(_LOCKERS, ("", "&sort=id&status=PICKED_UP"))),
    ),
    "/reservations/{reservation_id}": _AT,
    "/reservations/{reservation_id}/state": _AT,
    "/reservations/{reservation_id}/events": _HISTORY,
    "/faults": (
        *(*_PAGES, "open=true", "open=false&order=asc&limit=2", "min_severity=3", "min_severity=5"),
        *(f"locker_id={locker_id}{more}" for locker_id, more in product(_LOCKERS, ("", "&compartment_id=c1"))),
    ),
    "/search": tuple(
        f"q={quote(text)}"
        for text in (
            *("o", "own", "own-1", "own-10", "own-2", "other", "c", "c1", "r", "r-own-1", "r-own-10", "r-other"),
            *("0", "00000000-0000-4000-8000-0001", *IDS["event_id"][:6], UNKNOWN_ID, "unknown"),
        )
    ),
    "/quarantine": (
        *(*_PAGES, "order=asc&limit=1", "status=discarded", "kind=reused_id", "code=unknown_compartment"),
        *(*(f"locker_id={locker_id}" for locker_id in _LOCKERS), "type=FaultReported", "since=2999-01-01T00:00:00Z"),
    ),
    "/quarantine/malformed": _PAGES,
    "/quarantine/{event_id}": ("", "at=1"),
    "/health/live": ("",),
    "/health/ready": ("",),
}
"""Queries of each operation that reads. A word in braces stands for a header, or for a position of the caller."""

STREAM = "/events/stream"
"""The only GET whose answer has no end."""

POSTS: Mapping[str, tuple[Any, ...]] = {
    "/events": (registered("c20", locker="own-1", event_id="00000000-0000-4000-8000-eeeeeeeeeeee"),),
    "/events/batch": ([registered("c21", locker="own-1", event_id="00000000-0000-4000-8000-eeeeeeeeeeef")],),
    "/quarantine/{event_id}/resubmit": (None,),
    "/quarantine/{event_id}/discard": ({"reason": "A test."},),
    "/quarantine/resubmit": (
        *({"limit": 1}, {}, {"code": "unknown_compartment"}),
        *({"locker_id": locker_id} for locker_id in _LOCKERS),
    ),
}
"""Bodies of each operation that changes something, in the order in which they are sent."""

_HEADERS = {
    "{accept}": {"Accept": "text/csv, application/x-ndjson"},
    "{ndjson}": {"Accept": "application/x-ndjson"},
    "{cloud}": {"Accept": "application/cloudevents-batch+json"},
    "{csv}": {"Accept": "text/csv"},
    "{known}": {"If-None-Match": "*"},
}
_PLACES = {"{first}": 0, "{middle}": len(OWN.accepted) // 2, "{last}": -1}


class Get(NamedTuple):
    """A request. Its URL may name positions of the caller's events, which differ between networks."""

    url: str
    headers: dict[str, str]

    def url_in(self, positions: Mapping[str, int]) -> str:
        """Return the URL for a network with these positions of the caller's events."""
        url = self.url
        for name, index in _PLACES.items():
            url = url.replace(name, str(positions[OWN.accepted[index]["event_id"]]))
        return url


def gets(template: str) -> Iterator[Get]:
    """Yield the requests of an operation that reads."""
    for path, query in product(paths(template), GETS[template]):
        [*headers] = [_HEADERS[word] for word in re.findall(r"\{[a-z]+\}", query) if word in _HEADERS]
        parts = [part for part in query.split("&") if part and part not in _HEADERS]
        yield Get(f"{path}?{'&'.join(parts)}" if parts else path, headers[0] if headers else {})


def paths(template: str) -> Iterator[str]:
    """Yield the paths of an operation with all combinations of ids."""
    names = re.findall(r"\{(\w+)\}", template)
    for values in product(*(IDS[name] for name in names)):
        yield template.format(**{name: quote(value, safe="") for name, value in zip(names, values, strict=True)})
