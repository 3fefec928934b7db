"""One batch over log and projection, in one transaction under the write lock.

A batch takes two round trips. The first begins the transaction and waits for the write lock. It also finds the end of
the log, the known event ids and the rows that the events need. The second writes and commits. The lock ends with the
transaction, so positions have no gaps, and are in the order in which they become visible.
"""

import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psycopg

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Moment, time_of
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Batch
from lockstream.core.row_set import RowSet
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.infrastructure.postgres.connection import (
    COMMIT,
    CONNECTION_LOST,
    INTERNAL_ERRORS,
    RESOLVE_RETRY_SECONDS,
    Session,
    Statement,
)
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.row_lookup import RowLookup, RowsBefore, change_totals, insert_moments, upserts
from lockstream.infrastructure.postgres.statements import (
    FORCE_DURABLE_COMMIT,
    HEAD_AND_VERSION,
    TAKE_WRITE_LOCK,
    chain_at,
    insert_events,
    positions_of,
)

logger = logging.getLogger(__name__)


class PostgresUnitOfWork:
    """One batch of events. Used once; without `commit`, nothing changes."""

    def __init__(self, session: Session, log: PostgresLog) -> None:
        self._session = session
        self._log = log
        self._is_open = False
        self._end = log.end
        self._rows = RowSet({}, {}, {}, {})
        self._before = RowsBefore({}, {})
        self._known: dict[str, int] = {}

    def __enter__(self) -> Self:
        if reason := self._log.unavailable_reason:
            raise StoreUnavailable(reason)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            self._session.end_transaction()

    def begin(self, events: Sequence[Event]) -> Batch:
        """Take the write lock, and fetch known ids, rows and the end of the log for `events`.

        Raises:
            StoreUnavailable: the database cannot be used, or belongs to another version.
        """
        if events:
            known, lookup = positions_of(events), RowLookup(events)
            statements = [*self._session.beginning, TAKE_WRITE_LOCK, HEAD_AND_VERSION, known, *lookup.statements]
            try:
                found = self._session.begin(statements)
            except psycopg.Error as error:
                raise self._log.note_failure(error) from error
            self._is_open = True
            self._log.lock_seconds.observe(found[TAKE_WRITE_LOCK][0][1])
            self._end = self._log.note_end(found[HEAD_AND_VERSION])
            self._known = dict(found[known])
            self._rows = lookup.row_set(found)
            self._before = RowsBefore.of(self._rows)
        return Batch(dict(self._known), self._rows, self._end.position)

    def load(self, events: Sequence[Event]) -> None:
        """Do nothing: `begin` has loaded all rows."""

    def commit(self, accepted: Sequence[Event]) -> None:
        """Append `accepted`, write the changed rows, and commit.

        Raises:
            StoreUnavailable: nothing was kept, or the outcome is unknown; the text says which.
        """
        if accepted:
            recorded_at = utc_now()
            insertion, end = insert_events(accepted, recorded_at, self._end)
            self._commit(
                [
                    insertion,
                    *upserts(self._rows),
                    *change_totals(self._before, self._rows, self._end.position, end.position),
                    insert_moments([Moment(self._end.position + 1, time_of(recorded_at))]),
                ],
                end,
            )
        elif self._known:  # the event that a duplicate repeats must be durable, too
            self._commit([FORCE_DURABLE_COMMIT], self._end)

    def _commit(self, statements: Sequence[Statement], end: Cursor) -> None:
        self._is_open = False
        reason, began_at = "", time.perf_counter()
        try:
            self._session.execute([*statements, COMMIT])
            self._log.commit_seconds.observe(time.perf_counter() - began_at)
            is_kept = not self._session.warnings or self._resolve_unknown_commit(end)
        except CONNECTION_LOST as error:
            reason = " ".join(str(error).split())
            logger.warning(
                "The commit of a batch was not answered. Lockstream checks whether it was kept: %s",
                reason,
                extra={"event_name": "commit_unanswered"},
            )
            is_kept = self._resolve_unknown_commit(end)
        except INTERNAL_ERRORS:  # caused by a single event; the batch is then decided event by event
            raise
        except psycopg.Error as error:
            raise self._log.note_failure(error) from error
        if not is_kept:
            raise StoreUnavailable(
                f"The events were not kept: the database {self._log.name} did not commit them ({reason}). Send them "
                "again."
            )
        self._log.end = end

    def _resolve_unknown_commit(self, end: Cursor) -> bool:
        """Return whether the log holds the batch that ends at `end`, on every disk that a commit waits for.

        Either the connection was lost, or the commit did not wait for the standby. Once this node holds the write
        lock again, the lost transaction has ended.
        """
        deadline = time.monotonic() + self._session.limits.resolve_seconds
        reason = ""
        last_chain = chain_at(end.position)
        while time.monotonic() < deadline:
            try:
                found = self._session.transact(TAKE_WRITE_LOCK, last_chain, FORCE_DURABLE_COMMIT)
                if not self._session.warnings:
                    return found[last_chain] == [(end.chain,)] or end.position == 0
                reason = " ".join(self._session.warnings)
            except psycopg.Error as error:
                reason = str(self._log.note_failure(error))
            time.sleep(RESOLVE_RETRY_SECONDS)
        raise StoreUnavailable(
            f"Whether the events were kept is not known. {reason} Send them again; those that were kept count once."
        )
