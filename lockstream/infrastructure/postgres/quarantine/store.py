"""The quarantine in a database, which all nodes share."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager

import psycopg
from msgspec.structs import replace

from lockstream.core.entities.quarantine import (
    Discard,
    Entry,
    EntryKind,
    MalformedBody,
    QuarantineChanges,
    QuarantineLimits,
    QuarantineQuery,
    QuarantineTotals,
    merged,
)
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.postgres.connection import (
    BEGIN_READING,
    COMMIT,
    CONNECTION_LOST,
    INTERNAL_ERRORS,
    Database,
    DatabaseRows,
    Results,
    Session,
    Statement,
    transaction_settings,
    unavailable,
)
from lockstream.infrastructure.postgres.quarantine import statements as sql
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of, ids_in_log

RESOLVE_RETRY_SECONDS = 0.2
"""Pause between two attempts to find out whether a commit was kept."""

logger = logging.getLogger(__name__)


class PostgresQuarantine:
    """Implements `ports.QuarantineStore` in the primary database of many nodes.

    A write holds an advisory lock of the quarantine for some milliseconds. The write lock of the log is never taken.
    If the commit of a write is not answered, the database is asked what became of it. If that is not answered either,
    the write raises StoreUnavailable, and its arrivals may be counted twice when they are written again.
    """

    is_behind = False

    def __init__(self, database: Database, limits: QuarantineLimits) -> None:
        """Make no connection yet."""
        self.refused_ids: Set[str] = frozenset()
        """No ids: the database notices which events were accepted."""

        self._database = database
        self._limits = limits
        self._session = Session(database)

    def write(self, changes: QuarantineChanges) -> int:
        lookup = sql.entries_to_merge(changes.entries)
        accepted = ids_in_log([entry.event_id for entry in changes.entries if entry.kind is EntryKind.REFUSED])
        beginning = [sql.TAKE_LOCK, sql.TRANSACTION_ID, lookup, accepted, HEAD, sql.NEWEST_MALFORMED, sql.TOTALS]
        with self._errors():
            found = self._session.begin([*self._session.beginning, *beginning])
        try:
            earlier_totals = sql.totals_of(found[sql.TOTALS])
            totals = self._change(changes, found, [sql.entry_of(row) for row in found[lookup]], ids_of(found, accepted))
            with self._errors():
                self._commit([sql.put_totals(totals)], found[sql.TRANSACTION_ID][0][0])
        finally:
            self._session.roll_back()
        return totals.dropped - earlier_totals.dropped

    def entry(self, event_id: str) -> Entry | None:
        statement = sql.entry_with_id(event_id)
        rows = self._database.read(statement)[statement]
        return sql.entry_of(rows[0]) if rows else None

    def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        statement = sql.entries_matching(query, after, limit)
        return [sql.entry_of(row) for row in self._database.read(statement)[statement]]

    def totals(self) -> QuarantineTotals:
        beginning = [
            BEGIN_READING,
            transaction_settings(self._database.limits),
            sql.READ_WHOLE_TABLES,
            sql.TOTALS,
            HEAD,
        ]

        def read(found: Results, fetch: Callable[[Statement], DatabaseRows]) -> tuple[sql.TotalsRow, DatabaseRows]:
            row, head = sql.totals_of(found[sql.TOTALS]), cursor_of(found[HEAD])
            return row, fetch(sql.count_entries(row.checked_position, head.position))

        row, counts = self._database.read_transaction(beginning, read)
        return QuarantineTotals(
            open={code: number for code, is_discarded, number in counts if not is_discarded},
            discarded=sum(number for _, is_discarded, number in counts if is_discarded),
            dropped=row.dropped,
            unchecked_duplicates=row.unchecked_duplicates,
            malformed=row.malformed,
        )

    def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        statement = sql.malformed_before(after, limit)
        return [MalformedBody(*row) for row in self._database.read(statement)[statement]]

    def discard(self, event_id: str, discard: Discard) -> Entry | None:
        statement = sql.discard_entry(event_id, discard)
        with self._errors():
            found = self._session.begin([*self._session.beginning, sql.TAKE_LOCK, statement, COMMIT])
        return sql.entry_of(found[statement][0]) if found[statement] else None

    def close(self) -> None:
        self._session.close()

    def _change(
        self, changes: QuarantineChanges, found: Results, earlier: Sequence[Entry], accepted: Set[str]
    ) -> sql.TotalsRow:
        """Change the entries and the malformed bodies in the open transaction, and return the totals after that."""
        totals, head = sql.totals_of(found[sql.TOTALS]), cursor_of(found[HEAD]).position
        entries = list(_merge(changes.entries, {entry.event_id: entry for entry in earlier}, accepted, totals))
        oldest = self._limits.oldest_at(changes.at)
        size = sql.size_since(oldest)
        statements = [sql.put_entries(entries)] if entries else []
        if left := [*(one.event.event_id for one in changes.accepted), *accepted]:
            statements.append(sql.delete_refused(left))
        statements += sql.delete_accepted(totals.checked_position, head)
        statements += _put_malformed(changes.malformed, found)
        with self._errors():
            results = self._session.execute([*statements, sql.READ_WHOLE_TABLES, size])
            [(count, number_of_bytes, dropped)] = results[size]
            if dropped:
                self._session.execute([sql.delete_older(oldest)])
            if count > self._limits.entries or number_of_bytes > self._limits.bytes:
                excess = sql.delete_excess(self._limits)
                dropped += self._session.execute([excess])[excess][0][0]
        malformed = dict(totals.malformed)
        for reason, number in changes.malformed_counts.items():
            malformed[reason] = malformed.get(reason, 0) + number
        return sql.TotalsRow(
            last_number=max([totals.last_number, *(entry.number for entry in entries)]),
            checked_position=head,
            dropped=totals.dropped + dropped + changes.dropped,
            unchecked_duplicates=totals.unchecked_duplicates + changes.unchecked_duplicates,
            malformed=malformed,
        )

    def _commit(self, statements: Sequence[Statement], transaction_id: str) -> None:
        try:
            self._session.execute([*statements, COMMIT])
        except CONNECTION_LOST as error:
            logger.warning("The commit of a write to the quarantine was not answered: %s", " ".join(str(error).split()))
            if not self._was_committed(transaction_id):
                raise

    def _was_committed(self, transaction_id: str) -> bool:
        """Return whether the database has committed a transaction. Only the newest transactions are known to it.

        Raises:
            StoreUnavailable: the transaction still runs, or the database cannot be used.
        """
        status = sql.status_of_transaction(transaction_id)
        deadline = time.monotonic() + self._session.limits.resolve_seconds
        reason = "its transaction still runs"
        while time.monotonic() < deadline:
            try:
                [(found,)] = self._session.transact(status)[status]
                if found != "in progress":
                    return bool(found == "committed")
            except psycopg.DataError:  # after a crash, this id has not been used yet
                return False
            except psycopg.Error as error:
                reason = " ".join(str(error).split())
            time.sleep(RESOLVE_RETRY_SECONDS)
        raise StoreUnavailable(
            f"Whether the last write to the quarantine was kept is not known ({reason}). The database "
            f"{self._database.name} is tried again; arrivals since then may be counted twice."
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise errors of the database as StoreUnavailable, except those that only a bug can cause."""
        try:
            yield
        except INTERNAL_ERRORS:
            raise
        except psycopg.Error as error:
            raise unavailable(self._database.name, error) from error


def ids_of(found: Results, statement: Statement) -> set[str]:
    """Return the event ids that a statement has found."""
    return {event_id for (event_id,) in found[statement]}


def _merge(
    arrivals: Sequence[Entry], earlier: dict[str, Entry], accepted: Set[str], totals: sql.TotalsRow
) -> Iterator[Entry]:
    """Yield the entries to store for new arrivals. Refused events that were accepted meanwhile are left out."""
    number = totals.last_number
    for arrival in arrivals:
        before = earlier.get(arrival.event_id)
        if arrival.kind is EntryKind.REFUSED and arrival.event_id in accepted:
            continue
        if before:
            yield merged(before, arrival)
        elif arrival.count:
            number += 1
            yield replace(arrival, number=number)


def _put_malformed(bodies: Sequence[MalformedBody], found: Results) -> list[Statement]:
    newest = [MalformedBody(*row) for row in found[sql.NEWEST_MALFORMED]]
    stored = {}
    last = newest[0] if newest else None
    for body in bodies:
        last = body.after(last)
        stored[last.number] = last
    return sql.put_malformed(list(stored.values())) if stored else []
