"""The store of many nodes on one PostgreSQL database."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from lockstream.core.entities.log import Cursor, time_of
from lockstream.core.entities.quarantine import QuarantineLimits
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings, OnProgress, ReadResult, Reads, ignore_progress
from lockstream.infrastructure.postgres.connection import (
    DEFAULT_LIMITS,
    ConnectionCounts,
    Database,
    DatabaseRows,
    Session,
    Statement,
    TimeLimits,
    unavailable,
)
from lockstream.infrastructure.postgres.listings import PostgresListings
from lockstream.infrastructure.postgres.log import PostgresLog, PostgresPages
from lockstream.infrastructure.postgres.migrate import migrate, require_current
from lockstream.infrastructure.postgres.nodes.store import PostgresNodes
from lockstream.infrastructure.postgres.quarantine.store import PostgresQuarantine
from lockstream.infrastructure.postgres.reads import PostgresReads
from lockstream.infrastructure.postgres.shadow_tables import end_of_log, is_valid, rebuild, require_no_other_version
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of, recorded_at
from lockstream.infrastructure.postgres.unit_of_work import PostgresUnitOfWork

logger = logging.getLogger(__name__)


class Heads(NamedTuple):
    """The ends of a log in the primary and in its read replica."""

    primary: Cursor
    replica: int | None
    """Position of the last record. None if there is no read replica, or it does not answer."""

    replica_behind_since: int | None
    """Recorded time of the first event that the read replica lacks, or None if it lacks none."""

    replica_failure: str | None
    """Why the read replica does not answer, or None."""


class PostgresStore:
    """A locker network in a database that other nodes write, too. Any thread may read; one may write."""

    def __init__(
        self,
        url: str,
        on_progress: OnProgress = ignore_progress,
        auto_migrate: bool | None = None,
        read_url: str | None = None,
        limits: TimeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Open the log that `url` leads to, and rebuild the projection if it is not valid.

        Reads go to the read replica at `read_url`, if it is given; it may lag behind. Missing tables are created
        unless `auto_migrate` is False. Tables of an older version are changed only if it is True.

        Raises:
            StartRefused: the tables belong to another version; the text says what to do.
            LogDamaged: a record is damaged.
            InconsistentHistory: the log was not written by these rules.
            StoreUnavailable: the database cannot be used.
        """
        self._database = Database(url, limits)
        self._replica = Database(read_url, limits) if read_url else self._database
        self._session = Session(self._database)
        self._listings = PostgresListings(self._replica)
        self._pages = PostgresPages(self._replica)
        self.log = PostgresLog(self._database)
        self.reads: Reads = PostgresReads(lambda statement: self._replica.read(statement)[statement])
        try:
            self._prepare(on_progress, auto_migrate)
            self.log.end = end_of_log(self._session)
        except psycopg.Error as error:
            self.close()
            raise unavailable(self._database.name, error) from error
        except BaseException:
            self.close()
            raise
        self.log.start_probing()

    def read[ValueT](self, query: Callable[[Reads], ValueT]) -> ReadResult[ValueT]:
        """Execute a read, and return its value with the position that it reflects. For any thread.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._check_readable()
        positions: list[int] = []

        def fetch(statement: Statement) -> DatabaseRows:
            found = self._replica.read(HEAD, statement)
            positions.append(cursor_of(found[HEAD]).position)
            return found[statement]

        value = query(PostgresReads(fetch))
        if not positions:  # the query has read nothing
            positions.append(cursor_of(self._replica.read(HEAD)[HEAD]).position)
        return ReadResult(value, min(positions))

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list, and return its value with the position that it reflects. For any thread.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._check_readable()
        return self._listings.list(query)

    @property
    def log_pages(self) -> PostgresPages:
        """Pages of the log, for any thread.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._check_readable()
        return self._pages

    def head(self) -> int:
        """Return the position of the last record, as the feed shows it: that of the read replica, if there is one.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._check_readable()
        return cursor_of(self._replica.read(HEAD)[HEAD]).position

    def heads(self) -> "Heads":
        """Return the ends of the log in the primary and in its read replica, which may not answer.

        Raises:
            StoreUnavailable: the primary cannot be used.
        """
        replica, failure = None, None
        if self._replica is not self._database:
            try:
                replica = cursor_of(self._replica.read(HEAD)[HEAD]).position
            except StoreUnavailable as error:
                failure = str(error)
        missing = recorded_at((replica or 0) + 1)
        found = self._database.read(HEAD, missing)
        since = time_of(found[missing][0][0]) if replica is not None and found[missing] else None
        return Heads(cursor_of(found[HEAD]), replica, since, failure)

    @property
    def counts(self) -> Sequence[ConnectionCounts]:
        """Counts of the use of the primary, and of the read replica if there is one."""
        return [database.counts for database in dict.fromkeys((self._database, self._replica))]

    def newest_position(self) -> int:
        """Return the position of the last record of the primary.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        return cursor_of(self._database.read(HEAD)[HEAD]).position

    def quarantine(self, limits: QuarantineLimits) -> PostgresQuarantine:
        """Return the quarantine in the primary database. Close it before the store."""
        return PostgresQuarantine(self._database, limits)

    def nodes(self) -> PostgresNodes:
        """Return the list of nodes in the primary database. Close it before the store."""
        return PostgresNodes(self._database)

    def unit_of_work(self) -> PostgresUnitOfWork:
        return PostgresUnitOfWork(self._session, self.log)

    def close(self) -> None:
        self.log.close()
        self._session.close()
        self._replica.close()
        self._database.close()

    def _check_readable(self) -> None:
        """Check that the database answered when it was last used. Raises StoreUnavailable if not."""
        if self._replica is self._database and self.log.reads_unavailable_reason:
            raise StoreUnavailable(self.log.reads_unavailable_reason)  # at once, without waiting for a timeout

    def _prepare(self, on_progress: OnProgress, auto_migrate: bool | None) -> None:
        """Bring the tables to this version, as far as `auto_migrate` allows, and rebuild an invalid projection."""
        if auto_migrate is False:
            require_current(self._database)
        else:
            migrate(self._database, only_if_empty=not auto_migrate)
        if not is_valid(self._session):
            if not auto_migrate:
                require_no_other_version(self._session, self._database.name)
            logger.info(
                "The projection in the database %s is rebuilt from the log.",
                self._database.name,
                extra={"event_name": "projection_rebuilt"},
            )
            rebuild(self._database, on_progress, only_if_invalid=True)
