"""The log as a table, and what a node knows of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from threading import Event as Flag
from threading import Thread

import psycopg

from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import RecordDamaged, StoreUnavailable
from lockstream.infrastructure.line_codec import InvalidLine, decode_lines, line_with
from lockstream.infrastructure.postgres.connecting import BEGIN, COMMIT, Database, Rows, Statement, limits, unavailable
from lockstream.infrastructure.postgres.schema import END_ABANDONED_TURN, WHERE, cursor_of
from lockstream.infrastructure.postgres.session import Session
from lockstream.infrastructure.tables import fingerprint

PAGE = 1_000
"""Records that are read at a time."""

LOOK_SECONDS = 1.0
"""How often a node looks whether its database can be written."""

logger = logging.getLogger(__name__)

PAGE_OF_LOG = (
    "SELECT position, recorded_at, event_id::text, occurred_at, locker_id, type, payload::text, encode(chain, 'hex') "
    "FROM events WHERE position > %(after)s AND position <= %(upto)s ORDER BY position"
)


class PostgresLog:
    """The log of a database. `obstacle` is looked for in a thread of its own, so that nobody waits to be told."""

    failure = ""

    def __init__(self, database: Database) -> None:
        self.name = database.name
        self.end = START
        """As far as this node knows."""

        self.obstacle = ""
        self.away = ""
        """Why nothing can be read either, when it was last looked; empty where it can."""

        self._database = database
        self._stopping = Flag()
        self._looking = Thread(target=self._look, name="lockstream-look", daemon=True)

    @property
    def durable(self) -> Cursor:
        return self.end

    def watch(self) -> None:
        """Begin to look for what is in the way."""
        self._looking.start()

    def flush(self) -> None:
        return

    def flush_aside(self, ended: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(ended)  # what was committed is on the disk

    def read(self, after: Cursor) -> Iterator[Record]:
        return self.read_until(after, None)

    def read_until(self, after: Cursor, last: int | None) -> Iterator[Record]:
        """Each record behind `after`, up to position `last` or to the end of the log as it is then."""
        return pages(lambda values: self._database.read(Statement(PAGE_OF_LOG, values))[0], after, last, self.name)

    def moved(self, where: Rows, schema: str) -> Cursor:
        """Where the log ends, by what `WHERE` has found.

        Raises:
            StoreUnavailable: this node must not go on.
        """
        if obstacle := self._unfit(where, schema):
            raise StoreUnavailable(obstacle)
        self.end = cursor_of(where)
        return self.end

    def failed(self, error: psycopg.Error) -> StoreUnavailable:
        """What to raise when a turn could not be taken. Until the database answers again, nothing more is tried."""
        found = unavailable(self.name, error)
        self.obstacle = str(found)
        return found

    def close(self) -> None:
        self._stopping.set()
        if self._looking.is_alive():
            self._looking.join(LOOK_SECONDS)  # it may be waiting for a database that is away

    def _unfit(self, where: Rows, schema: str) -> str:
        """Why this node must not go on, by what `WHERE` has found; empty where it may."""
        if where and where[0][3] == schema:
            return ""
        return (
            f"The projection in the database {self.name} is of another version of Lockstream, or not there. "
            "Restart this node with the version of the others; a start makes the projection anew where it must."
        )

    def _look(self) -> None:
        """Look now and then whether an event could be taken in, and whether somebody has gone away in a turn."""
        session = Session(self._database)
        while not self._stopping.wait(LOOK_SECONDS):
            before = self.obstacle
            try:
                [*_, where, _] = session.execute([BEGIN, limits(), END_ABANDONED_TURN, WHERE, COMMIT])
                self.away = self._unfit(where, fingerprint())
            except psycopg.Error as error:
                self.away = str(unavailable(self.name, error))
            self.obstacle = self.away
            if bool(before) != bool(self.obstacle):
                logger.warning("%s", self.obstacle or f"The database {self.name} can be used again.")
        session.close()


def pages(read: Callable[[dict[str, int]], Rows], after: Cursor, last: int | None, name: str) -> Iterator[Record]:
    """Each record behind `after`, up to position `last` if there is one; `read` executes `PAGE_OF_LOG`.

    Raises:
        LogDamaged: one is not what was written.
    """
    while last is None or after.position < last:
        upto = after.position + PAGE if last is None else min(last, after.position + PAGE)
        records = records_of(read({"after": after.position, "upto": upto}), after, name)
        if not records:
            return
        yield from records
        after = records[-1].end  # where one was not what was written, the next round says so


def records_of(rows: Rows, after: Cursor, name: str) -> list[Record]:
    """What rows of `events`, which follow `after`, hold: all, or those up to the first that is not what was written.

    Raises:
        RecordDamaged: that is the first one already.
    """
    try:
        return decode_lines([line_with(*row) for row in rows], after) if rows else []
    except InvalidLine as error:
        raise RecordDamaged(name, after.position + 1, str(error)) from error
