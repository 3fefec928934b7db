"""Audit reads: each response must show what an independent model makes of the log, at the position that it names."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from lockstream.core.ports import Listings
from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.infrastructure.stores.naive_listings import NaiveListings
from lockstream.tests.support.builders import Body
from lockstream.tests.support.modelled_reads import LISTS, STATES, UNKNOWN, Names, Read, without_silence
from lockstream.tests.support.processes import Server

ALL = 10**9
"""A limit beyond all rows of a test."""

MAX_ITEMS = 1_000
"""The largest page."""

NAMED_LOCKERS = 5
"""Lockers of a log whose own lists and states are read. Each takes some 20 ms."""


@dataclass(frozen=True)
class Reading:
    """One response to a read."""

    url: str
    read: Read
    names: Names
    after: Any
    """The key of the last item of the page before, or None."""

    limit: int
    position: int
    """The Lockstream-Position of the response."""

    body: Any
    """The body, in the form that `Read.body` returns."""

    @property
    def shown(self) -> int:
        """The position of the state that the response shows."""
        return self.position if self.body is None else max(self.position, self.read.last_position(self.body))

    def problem(self, lists: NaiveListings) -> str | None:
        """Return a sentence if the body differs from `lists`, which are at the shown position."""
        expected = self.read.body(lists, self.names, self.after, self.limit)
        if self.body == expected:
            return None
        shown, wanted = _first_difference(self.body, expected)
        return f"{self.url} at {self.position} shows {shown}, not {wanted}."


class Walk:
    """The requests for the pages of one read, one after another."""

    def __init__(self, read: Read, names: Names, limit: int = MAX_ITEMS) -> None:
        self._read, self._names, self._limit = read, names, limit
        self._first_url = read.url(names)
        if read.key is not None:
            self._first_url += f"{'&' if '?' in self._first_url else '?'}limit={limit}"
        self._after: Any = None
        self.pages = 0
        """Pages that were received."""

        self.url: str | None = self._first_url
        """The URL of the next request, or None after the last page."""

    def take(self, status: int, headers: Mapping[str, str], content: bytes) -> Reading:
        """Return the reading of the response to a request for `url`, and turn to the next page."""
        assert self.url is not None
        assert status in (200, 404), f"{self.url}: {status} {content!r}"
        position, body = (
            int(headers["lockstream-position"]),
            without_silence(json.loads(content)) if status == 200 else None,
        )
        url, after, self.url = self.url, self._after, None
        self.pages += 1
        if body is not None and self._read.key is not None:
            self._turn_page(body)
        return Reading(url, self._read, self._names, after, self._limit, position, body)

    def _turn_page(self, body: Body) -> None:
        """Go to the page after `body`, and replace its token by whether there is one, which is all the model knows."""
        if body["next"] is not None:
            self.url = f"{self._first_url}&after={quote(body['next'], safe='')}"
            self._after = body["items"][-1][self._read.key]
        body["next"] = body["next"] is not None


class Replay:
    """The model of lists, which follows the records of a log."""

    def __init__(self, records: Sequence[Body]) -> None:
        self._records = records
        self._lists = NaiveListings(Model(), [])

    def at(self, position: int) -> NaiveListings:
        """Return the lists at a position, which must not be before that of the last call."""
        for record in self._records[self._lists.position : position]:
            assert self._lists.model.expect(record) == ("accepted", record["position"]), "the log breaks the rules"
            self._lists.recorded_at.append(record["recorded_at"])
        assert self._lists.position == position
        return self._lists


def content_problems(readings: Iterable[Reading], records: Sequence[Body]) -> list[str]:
    """Return a sentence about each reading that differs from the log. None may show more than the log holds."""
    replay = Replay(records)
    ordered = sorted(readings, key=attrgetter("shown"))
    return [problem for one in ordered if (problem := one.problem(replay.at(one.shown)))]


def read_lists(listings: Listings, records: Iterable[Body]) -> Iterator[Reading]:
    """Yield a reading of every list of a store. `records` name the subjects."""
    for url, (read, names) in _requests(LISTS, records).items():
        yield Reading(url, read, names, None, ALL, listings.position, read.body(listings, names, None, ALL))


def read_all(server: Server, records: Iterable[Body]) -> Iterator[Reading]:
    """Yield a reading of every list, with all its pages, and of states. `records` name the subjects."""
    for read, names in _requests((*LISTS, *STATES), records).values():
        walk, pages = Walk(read, names), list[Reading]()
        while walk.url is not None:
            pages.append(walk.take(*server.request("GET", walk.url)))
        yield _joined(pages) if len(pages) > 1 else pages[0]


def _requests(reads: Iterable[Read], records: Iterable[Body]) -> dict[str, tuple[Read, Names]]:
    """Return each read, by its URL, with unknown names and with those of the last event of each of some lockers.

    The position is the one before that event.
    """
    last: dict[str, Names] = {}
    for record in records:
        locker_id, payload = record["locker_id"], record["payload"]
        earlier = last.get(locker_id, UNKNOWN)
        last[locker_id] = Names(
            locker_id,
            payload.get("reservation_id", UNKNOWN.reservation),
            payload.get("compartment_id", earlier.compartment),
            record["recorded_at"],
            str(record["position"] - 1),
        )
    named = [UNKNOWN, *last.values()][: 1 + NAMED_LOCKERS]
    return {read.url(names): (read, names) for read in reads for names in named}


def _joined(pages: Sequence[Reading]) -> Reading:
    """Return all pages of a list as one."""
    items = [item for page in pages for item in page.body["items"]]
    return replace(pages[-1], after=None, limit=ALL, body={"items": items, "next": False})


def _first_difference(shown: Any, expected: Any) -> tuple[object, object]:
    """Return two bodies that differ, or their first items that differ if both have items."""
    if not (shown and expected and "items" in shown and "items" in expected):
        return shown, expected
    pairs = zip_longest([*shown["items"], shown["next"]], [*expected["items"], expected["next"]])
    return next((one, other) for one, other in pairs if one != other)
