"""Two projections of one log, held against each other while events go on."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg

from lockstream.core.state_hash import state_hash
from lockstream.infrastructure.postgres.connecting import DIALECT, Database
from lockstream.infrastructure.postgres.schema import HEAD, cursor_of
from lockstream.infrastructure.projection import BROKEN
from lockstream.infrastructure.queries import LOCKERS, grouped
from lockstream.infrastructure.tables import fingerprint

ROWS = 5_000
"""Fetched at a time."""


def differing_lockers(database: Database, beside: str, follow: Callable[[int], object]) -> int | None:
    """How many lockers have another state hash in the projection that is in use than in the one in schema `beside`.

    That one is brought to the position of the other by `follow`. None where the other is of another version.

    Raises:
        psycopg.Error: the database cannot be used.
    """
    with closing(database.connect()) as old, closing(database.connect()) as new:
        _begin(old)
        if old.execute("SELECT to_regclass('progress')").fetchall() == [(None,)]:
            return None
        if old.execute("SELECT schema FROM progress").fetchall() != [(fingerprint(),)]:
            return None
        follow(cursor_of(old.execute(HEAD.text).fetchall()).position)
        _begin(new)
        new.execute(f"SET LOCAL search_path TO {beside}")
        expected = dict(_hashes(new))
        try:
            stored = dict(_hashes(old))
        except (psycopg.ProgrammingError, *BROKEN):
            return len(expected)
    return len({locker_id for locker_id, _ in stored.items() ^ expected.items()})


def _begin(connection: psycopg.Connection) -> None:
    """Have all that follows see one moment, and take its time."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute("SET LOCAL statement_timeout = 0")


def _hashes(connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    with connection.cursor("lockers") as cursor:
        cursor.itersize = ROWS
        cursor.execute(str(LOCKERS.compile(dialect=DIALECT)))
        for locker in grouped(cursor):
            yield locker.locker_id, state_hash(locker)
