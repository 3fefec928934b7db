"""Events as rows, each in a transaction of its own: `python -m bench.peers.inserts URL CONNECTIONS SECONDS PID`.

It is what a service does that hands each event to the database as it comes, without that service: a prepared INSERT and
its commit, in one round trip, on each of some connections. It is spared HTTP, a decision on each event, a position, a
chain and a projection; the key of its table refuses duplicates. `PID` is the database's, whose CPU time is told.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from time import perf_counter

import msgspec
import psycopg

from bench.figures import Told
from bench.lives import Lives
from bench.meter import Meter

_WARM_UP_SECONDS = 0.5
"""Not counted."""

_BEFOREHAND = 20_000
"""Events a second that are made before the clock starts; where more are needed, the others are made as they are."""

_MORE = 100

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
    each = round(_BEFOREHAND * (_WARM_UP_SECONDS + seconds) / connections)
    scripts = [_rows(f"insert-{number}", each) for number in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        meter, began = Meter(contestant=[os.getpid()], database=[pid]), perf_counter()
        counted_from = began + _WARM_UP_SECONDS
        until = counted_from + seconds
        inserted = sum(threads.map(_insert, opened, scripts, repeat(counted_from), repeat(until)))
    sys.stdout.buffer.write(msgspec.json.encode(Told(inserted / seconds, meter.read())))


def _rows(tag: str, beforehand: int) -> Iterator[_Row]:
    """Row after row, for ever."""
    lives = Lives(tag, _COMPARTMENTS)
    made = _made(lives, beforehand)
    return chain(made, chain.from_iterable(_made(lives, _MORE) for _ in repeat(None)))


def _made(lives: Lives, number: int) -> list[_Row]:
    sent = map(msgspec.json.Decoder(_Sent).decode, lives.take(number))
    return [(of.event_id, of.locker_id, of.type, of.occurred_at, bytes(of.payload).decode()) for of in sent]


def _insert(connection: psycopg.Connection, rows: Iterator[_Row], counted_from: float, until: float) -> int:
    """Insert row after row, each committed; how many were in the time that counts."""
    counted, now = 0, 0.0
    with connection.cursor() as cursor:
        while now <= until:
            counted += now >= counted_from
            cursor.execute(_INSERT, next(rows), prepare=True)
            now = perf_counter()
    return counted


if __name__ == "__main__":
    main()
