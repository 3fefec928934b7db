"""The log as a table, and the state of the database as a node sees it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from threading import Event as Flag
from threading import Thread

import psycopg

from lockstream.core.entities.feed import LogPage, log_id_of
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.core.errors import LogTableDamaged, StoreUnavailable
from lockstream.infrastructure.codec.log_line import (
    InvalidLine,
    count_checked,
    decode_lines,
    format_line,
)
from lockstream.infrastructure.postgres.connection import Database, DatabaseRows, Session, Statement, unavailable
from lockstream.infrastructure.postgres.statements import (
    HEAD,
    HEAD_AND_VERSION,
    chain_at,
    cursor_of,
    end_abandoned_transaction,
    version_mismatch,
)
from lockstream.infrastructure.telemetry.histogram import DISK_SECONDS, Histogram

PAGE_RECORDS = 1_000
"""Records that are read at a time."""

PROBE_SECONDS = 1.0
"""Interval at which a node probes whether its database can be written."""

PAGE_OF_LOG = (
    "SELECT position, recorded_at, recorded_by, event_id::text, occurred_at, locker_id, type, payload::text, "
    "encode(chain, 'hex') FROM events WHERE position > %(after)s AND position <= %(through)s ORDER BY position"
)

logger = logging.getLogger(__name__)


class PostgresLog:
    """The log of a database. A thread probes the database, so no request waits for one that does not answer."""

    failure: str | None = None

    def __init__(self, database: Database) -> None:
        self.name = database.name
        self.end = START
        """The end of the log, as far as this node knows."""

        self.unavailable_reason: str | None = None
        self.reads_unavailable_reason: str | None = None
        """Why reads failed at the last probe, or None."""

        self.lock_seconds, self.commit_seconds = Histogram(DISK_SECONDS), Histogram(DISK_SECONDS)
        """The times that batches have waited for the write lock, and for their commits."""

        self._database = database
        self._stopping = Flag()
        self._probing = Thread(target=self._probe, name="lockstream-probe", daemon=True)

    @property
    def durable(self) -> Cursor:
        """The end of the log: every committed record is durable."""
        return self.end

    def start_probing(self) -> None:
        """Start the thread that probes the database."""
        self._probing.start()

    def flush(self) -> None:
        return

    def begin_flush(self, on_flushed: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(on_flushed)

    def read(self, after: Cursor) -> Iterator[Record]:
        return self.read_through(after, None)

    def read_through(self, after: Cursor, last: int | None) -> Iterator[Record]:
        """Yield each record after `after`, through position `last` or to the present end of the log.

        Raises:
            LogTableDamaged: a record is damaged.
            StoreUnavailable: the database cannot be used.
        """
        while last is None or after.position < last:
            through = after.position + PAGE_RECORDS if last is None else min(last, after.position + PAGE_RECORDS)
            page = Statement(PAGE_OF_LOG, {"after": after.position, "through": through})
            rows = self._database.read(page)[page]
            if not rows:
                return
            try:
                records = decode_lines([format_line(*row) for row in rows], after)
            except InvalidLine as error:
                raise LogTableDamaged(self.name, after.position + 1, str(error)) from error
            yield from records
            after = records[-1].end  # the next round reports the invalid record, if there is one

    def note_end(self, head_and_version: DatabaseRows) -> Cursor:
        """Note and return the end of the log, from the result of `HEAD_AND_VERSION`.

        Raises:
            StoreUnavailable: the projection belongs to another version, so this node must not go on.
        """
        if reason := version_mismatch(head_and_version, self.name):
            raise StoreUnavailable(reason)
        self.end = cursor_of(head_and_version)
        return self.end

    def note_failure(self, error: psycopg.Error) -> StoreUnavailable:
        """Refuse further batches until a probe succeeds, and return the exception to raise for the failed batch."""
        found = unavailable(self.name, error)
        self.unavailable_reason = str(found)
        return found

    def close(self) -> None:
        self._stopping.set()
        if self._probing.is_alive():
            self._probing.join(PROBE_SECONDS)  # the thread may wait for a database that does not answer

    def _probe(self) -> None:
        """Probe the database, and end the write transaction of a node that has stopped."""
        session = Session(self._database)
        end_abandoned = end_abandoned_transaction(session.limits)
        while not self._stopping.wait(PROBE_SECONDS):
            before = self.unavailable_reason
            try:
                session.close_if_lost()  # else a database that was restarted meanwhile would be reported
                found = session.transact(end_abandoned, HEAD_AND_VERSION)
                self.reads_unavailable_reason = version_mismatch(found[HEAD_AND_VERSION], self.name)
            except psycopg.Error as error:
                self.reads_unavailable_reason = str(unavailable(self.name, error))
            self.unavailable_reason = self.reads_unavailable_reason
            if bool(before) != bool(self.unavailable_reason):
                if self.unavailable_reason:
                    logger.warning("%s", self.unavailable_reason, extra={"event_name": "database_unavailable"})
                else:
                    logger.warning(
                        "The database %s can be used again.", self.name, extra={"event_name": "database_available"}
                    )
        session.close()


class PostgresPages:
    """Pages of the log in a database, or in its read replica. Implements `LogPages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, after: int, count: int) -> LogPage:
        page = Statement(PAGE_OF_LOG, {"after": after, "through": after + min(count, PAGE_RECORDS)})
        first, previous = chain_at(1), chain_at(after)
        found = self._database.read(HEAD, first, previous, page)
        head = cursor_of(found[HEAD]).position
        lines = [format_line(*row) for row in found[page] if row[0] <= head]  # the page was read a moment later
        if lines:
            lines = lines[: self._checked(lines, Cursor(after, 0, _chain_in(found[previous])))]
        return LogPage(lines, head, log_id_of(_chain_in(found[first])))

    def _checked(self, lines: list[bytes], previous: Cursor) -> int:
        """Return how many lines were not altered. Raises StoreUnavailable if the first one was."""
        try:
            return count_checked(lines, previous)
        except InvalidLine as error:
            damage = LogTableDamaged(self._database.name, previous.position + 1, str(error))
            raise StoreUnavailable(str(damage)) from error


def _chain_in(found: DatabaseRows) -> str:
    """Return the chain value that `chain_at` has found, or that before the first record."""
    return str(found[0][0]) if found else START.chain
