"""One INSERT and commit per event: `python -m bench.peers.postgres_inserts URL CONNECTIONS SECONDS PID`.

A service that writes each event to the database at once does at least this work. Each connection sends a prepared
INSERT with its commit in one round trip, without HTTP, decisions, positions, a chain or a projection. The table's key
refuses duplicates. `PID` is the database's process, whose CPU time is measured, too.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from time import perf_counter

import msgspec
import psycopg

from bench.figures import PeerResult
from bench.load.events import EventGenerator, compartments_of
from bench.load.plan import WARM_UP_SECONDS
from bench.resources import CpuMeter

_PREPARED_PER_SECOND = 20_000
"""Events per second that are prepared before the clock starts. Further events are prepared during the measurement."""

_MORE = 100

_COMPARTMENTS = 32
"""Compartments per connection."""

_TABLE = (
    "CREATE TABLE inserted (event_id uuid PRIMARY KEY, locker_id text NOT NULL, type text NOT NULL, "
    "occurred_at text NOT NULL, payload json NOT NULL)"
)
_INSERT = "INSERT INTO inserted VALUES (%s, %s, %s, %s, %s)"

type _Row = tuple[str, str, str, str, str]


class _Event(msgspec.Struct):
    event_id: str
    locker_id: str
    type: str
    occurred_at: str
    payload: msgspec.Raw


def main() -> None:
    url, connections, seconds, pid = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    opened = [psycopg.connect(url.replace("+psycopg", ""), autocommit=True) for _ in range(connections)]
    opened[0].execute(_TABLE)
    prepared = round(_PREPARED_PER_SECOND * (WARM_UP_SECONDS + seconds) / connections)
    rows = [_rows(f"insert-{number}", prepared) for number in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        meter, started = CpuMeter(contestant=[os.getpid()], database=[pid]), perf_counter()
        counted_from = started + WARM_UP_SECONDS
        end = counted_from + seconds
        inserted = sum(threads.map(_insert, opened, rows, repeat(counted_from), repeat(end)))
    sys.stdout.buffer.write(msgspec.json.encode(PeerResult(inserted / seconds, meter.read())))


def _rows(tag: str, prepared: int) -> Iterator[_Row]:
    """Return endless rows, of which the first are prepared now."""
    events = EventGenerator(compartments_of(tag, _COMPARTMENTS))
    first = _take(events, prepared)
    return chain(first, chain.from_iterable(_take(events, _MORE) for _ in repeat(None)))


def _take(events: EventGenerator, number: int) -> list[_Row]:
    decoded = map(msgspec.json.Decoder(_Event).decode, events.take(number))
    return [
        (event.event_id, event.locker_id, event.type, event.occurred_at, bytes(event.payload).decode())
        for event in decoded
    ]


def _insert(connection: psycopg.Connection, rows: Iterator[_Row], counted_from: float, end: float) -> int:
    """Insert rows until `end`, each with a commit; return the number of rows after `counted_from`."""
    counted, now = 0, 0.0
    with connection.cursor() as cursor:
        while now <= end:
            counted += now >= counted_from
            cursor.execute(_INSERT, next(rows), prepare=True)
            now = perf_counter()
    return counted


if __name__ == "__main__":
    main()
