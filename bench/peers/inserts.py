"""Events as rows, each in a transaction of its own: `python -m bench.peers.inserts URL CONNECTIONS SECONDS PID`.

It is what a service does that hands each event to the database as it comes, without that service: a prepared INSERT and
its commit, in one round trip, on each of some connections. It is spared HTTP, a decision on each event, a position, a
chain and a projection; the key of its table refuses duplicates. `PID` is the database's, whose CPU time is told.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from time import perf_counter

import msgspec
import psycopg

from bench.errors import BenchFailure
from bench.figures import Told
from bench.lives import Lives
from bench.meter import Meter

_WARM_UP_SECONDS = 0.5
"""Not counted."""

_AT_MOST = 20_000
"""Events a second: so many are made beforehand."""

_COMPARTMENTS = 32
"""Of each connection."""

_TABLE = (
    "CREATE TABLE inserted (event_id uuid PRIMARY KEY, locker_id text NOT NULL, type text NOT NULL, "
    "occurred_at text NOT NULL, payload json NOT NULL)"
)
_INSERT = "INSERT INTO inserted VALUES (%s, %s, %s, %s, %s)"

type _Row = tuple[str, str, str, str, str]


class _Sent(msgspec.Struct):
    event_id: str
    locker_id: str
    type: str
    occurred_at: str
    payload: msgspec.Raw


def main() -> None:
    url, connections, seconds, pid = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    opened = [psycopg.connect(url.replace("+psycopg", ""), autocommit=True) for _ in range(connections)]
    opened[0].execute(_TABLE)
    each = round(_AT_MOST * (_WARM_UP_SECONDS + seconds) / connections)
    scripts = [_rows(f"insert-{number}", each) for number in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        meter, began = Meter(contestant=[os.getpid()], database=[pid]), perf_counter()
        counted_from = began + _WARM_UP_SECONDS
        until = counted_from + seconds
        inserted = sum(threads.map(_insert, opened, scripts, repeat(counted_from), repeat(until)))
    sys.stdout.buffer.write(msgspec.json.encode(Told(inserted / seconds, meter.read())))


def _rows(tag: str, number: int) -> list[_Row]:
    sent = map(msgspec.json.Decoder(_Sent).decode, Lives(tag, _COMPARTMENTS).take(number))
    return [(of.event_id, of.locker_id, of.type, of.occurred_at, bytes(of.payload).decode()) for of in sent]


def _insert(connection: psycopg.Connection, rows: Sequence[_Row], counted_from: float, until: float) -> int:
    """Insert row after row, each committed; how many were in the time that counts."""
    counted = 0
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(_INSERT, row, prepare=True)
            now = perf_counter()
            if now > until:
                return counted
            counted += now >= counted_from
    raise BenchFailure("there were no more events to be inserted")


if __name__ == "__main__":
    main()
