"""The quarantine in a database, which all nodes share."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import psycopg
from msgspec.structs import replace

from lockstream.core.entities.access import Lockers
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
    with_reused_id,
)
from lockstream.core.errors import MalformedEvent, StoreUnavailable
from lockstream.infrastructure.codec.event_json import is_text_of
from lockstream.infrastructure.codec.log_line import utc_now
from lockstream.infrastructure.postgres.connection import (
    BEGIN_READING,
    COMMIT,
    CONNECTION_LOST,
    RESOLVE_RETRY_SECONDS,
    Database,
    DatabaseRows,
    Results,
    Session,
    Statement,
    errors_as_unavailable,
    transaction_settings,
)
from lockstream.infrastructure.postgres.quarantine import statements as sql
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of

logger = logging.getLogger(__name__)


class PostgresQuarantine:
    """Implements `ports.QuarantineStore` in the primary database of many nodes.

    A write holds an advisory lock of the quarantine for some milliseconds. The write lock of the log is never taken.
    A read first writes if it finds entries of events that were accepted since the last write.
    If the commit of a write is not answered, the database is asked whether the transaction was committed. If that is
    not answered either, the write raises StoreUnavailable. Its arrivals may then be counted twice when they are written
    again.
    """

    is_behind = False

    def __init__(self, database: Database, limits: QuarantineLimits) -> None:
        """No connection is made yet."""
        self.refused_ids: Set[str] = frozenset()
        """Always empty: each read and write finds the entries of accepted events in the database."""

        self._database = database
        self._limits = limits
        self._session = Session(database)

    def write(self, changes: QuarantineChanges) -> int:
        accepted = {event.event_id: sql.LogEvent(event, position) for event, position in changes.accepted}
        lookup = sql.entries_with_ids([*(entry.event_id for entry in changes.entries), *accepted])
        in_log = sql.events_with_ids([one.event_id for one in changes.entries if one.kind is EntryKind.REFUSED])
        beginning = [sql.TAKE_LOCK, sql.TRANSACTION_ID, lookup, in_log, HEAD, sql.NEWEST_MALFORMED, sql.TOTALS]
        with errors_as_unavailable(self._database.name):
            found = self._session.begin([*self._session.beginning, *beginning])
        try:
            earlier_totals = sql.totals_of(found[sql.TOTALS])
            merge = _Merge([sql.entry_of(row) for row in found[lookup]], earlier_totals.last_number)
            merge.add(changes.entries, sql.accepted_of(found[in_log]))
            merge.compare(accepted)
            totals = self._change(changes, found, merge)
            with errors_as_unavailable(self._database.name):
                self._commit([sql.put_totals(totals)], found[sql.TRANSACTION_ID][0][0])
        finally:
            self._session.roll_back()
        return totals.dropped - earlier_totals.dropped

    def entry(self, event_id: str) -> Entry | None:
        self._compare_accepted()
        statement = sql.entry_with_id(event_id)
        rows = self._database.read(statement)[statement]
        return sql.entry_of(rows[0]) if rows else None

    def entries(self, query: QuarantineQuery, after: int | None, limit: int) -> list[Entry]:
        self._compare_accepted()
        statement = sql.entries_matching(query, after, limit)
        return [sql.entry_of(row) for row in self._database.read(statement)[statement]]

    def totals(self, lockers: Lockers | None = None) -> QuarantineTotals:
        self._compare_accepted()
        if lockers is not None:
            statement = sql.count_entries_of(lockers)
            return _totals_from(self._database.read(statement)[statement])
        found = self._database.read(sql.READ_WHOLE_TABLES, sql.TOTALS, sql.COUNT_ENTRIES)
        row = sql.totals_of(found[sql.TOTALS])
        return replace(
            _totals_from(found[sql.COUNT_ENTRIES]),
            dropped=row.dropped,
            unchecked_duplicates=row.unchecked_duplicates,
            malformed=row.malformed,
        )

    def malformed(self, after: int | None, limit: int) -> list[MalformedBody]:
        statement = sql.malformed_before(after, limit)
        return [MalformedBody(*row) for row in self._database.read(statement)[statement]]

    def discard(self, event_id: str, discard: Discard) -> Entry | None:
        self._compare_accepted()
        statement = sql.discard_entry(event_id, discard)
        with errors_as_unavailable(self._database.name):
            found = self._session.begin([*self._session.beginning, sql.TAKE_LOCK, statement, COMMIT])
        return sql.entry_of(found[statement][0]) if found[statement] else None

    def close(self) -> None:
        self._session.close()

    def _compare_accepted(self) -> None:
        """Delete the refused entries of events that any node has accepted, or make them entries of reused ids."""

        def needs_write(found: Results, fetch: Callable[[Statement], DatabaseRows]) -> bool:
            checked, head = sql.totals_of(found[sql.TOTALS]).checked_position, cursor_of(found[HEAD]).position
            if not checked <= head <= checked + sql.NEW_EVENTS:
                return True  # so that the next reads look up few events
            accepted = sql.accepted_entries(checked, head)
            return bool(accepted and fetch(accepted))

        beginning = [BEGIN_READING, transaction_settings(self._database.limits), sql.TOTALS, HEAD]
        if self._database.read_transaction(beginning, needs_write):
            self.write(QuarantineChanges(utc_now()))

    def _change(self, changes: QuarantineChanges, found: Results, merge: "_Merge") -> sql.TotalsRow:
        """Change the entries and the malformed bodies in the open transaction, and return the totals after that."""
        totals, head = sql.totals_of(found[sql.TOTALS]), cursor_of(found[HEAD]).position
        oldest = self._limits.oldest_at(changes.at)
        size, accepted = sql.size_since(oldest), sql.accepted_entries(totals.checked_position, head)
        with errors_as_unavailable(self._database.name):
            results = self._session.execute(
                [
                    *merge.statements(),
                    *_put_malformed(changes.malformed, found),
                    *([accepted] if accepted else []),
                    sql.READ_WHOLE_TABLES,
                    size,
                ]
            )
            if accepted and results[accepted]:
                results = self._session.execute([*_compare_with_log(results[accepted]), size])
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
            last_number=merge.last_number,
            checked_position=head,
            dropped=totals.dropped + dropped + changes.dropped,
            unchecked_duplicates=totals.unchecked_duplicates + changes.unchecked_duplicates,
            malformed=malformed,
        )

    def _commit(self, statements: Sequence[Statement], transaction_id: str) -> None:
        try:
            self._session.execute([*statements, COMMIT])
        except CONNECTION_LOST as error:
            logger.warning(
                "The commit of a write to the quarantine was not answered: %s",
                " ".join(str(error).split()),
                extra={"event_name": "quarantine_commit_unanswered"},
            )
            if not self._was_committed(transaction_id):
                raise

    def _was_committed(self, transaction_id: str) -> bool:
        """Return whether the database has committed a transaction, which must be one of the newest.

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


class _Merge:
    """Changes of entries by new arrivals and accepted events, before they are stored."""

    def __init__(self, earlier: Iterable[Entry], last_number: int) -> None:
        """`earlier` has the stored entries with the ids of all arrivals and accepted events."""
        self.last_number = last_number
        self._entries = {entry.event_id: entry for entry in earlier}
        self._changed: dict[str, None] = {}
        """Ids of the entries to store, in the order of their arrivals."""

        self._left: list[str] = []
        """Ids of the entries to delete."""

    def add(self, arrivals: Sequence[Entry], in_log: Mapping[str, sql.LogEvent]) -> None:
        """Merge new arrivals into the entries. `in_log` has the events of the log with ids of refused arrivals.

        A refused event that was accepted meanwhile is left out. An event with other content is kept as a reused id.
        """
        for arrival in arrivals:
            event_id = arrival.event_id
            if arrival.kind is EntryKind.REFUSED and (accepted := in_log.get(event_id)):
                if _is_of(arrival, accepted):
                    continue
                self._put(with_reused_id(arrival, accepted.position))
            else:
                self._put(arrival)

    def compare(self, accepted: Mapping[str, sql.LogEvent]) -> None:
        """Remove refused entries of accepted events. Entries with other content get the kind `reused_id`."""
        for event_id, event in accepted.items():
            entry = self._entries.get(event_id)
            if entry is None or entry.kind is not EntryKind.REFUSED:
                continue
            if _is_of(entry, event):
                del self._entries[event_id]
                self._changed.pop(event_id, None)
                self._left.append(event_id)
            else:
                self._entries[event_id] = with_reused_id(entry, event.position)
                self._changed[event_id] = None

    def statements(self) -> list[Statement]:
        """Return statements that store the changes."""
        statements = [sql.put_entries([self._entries[event_id] for event_id in self._changed])] if self._changed else []
        return [*statements, sql.delete_entries(self._left)] if self._left else statements

    def _put(self, arrival: Entry) -> None:
        before = self._entries.get(arrival.event_id)
        if before is None:
            if not arrival.count:  # a new decision on an entry that has left
                return
            self.last_number += 1
        self._entries[arrival.event_id] = (
            merged(before, arrival) if before else replace(arrival, number=self.last_number)
        )
        self._changed[arrival.event_id] = None


def _totals_from(counts: DatabaseRows) -> QuarantineTotals:
    """Return the numbers of entries, from triples: a code, whether the entries are discarded, and their number."""
    return QuarantineTotals(
        open={code: number for code, is_discarded, number in counts if not is_discarded},
        discarded=sum(number for _, is_discarded, number in counts if is_discarded),
    )


def _compare_with_log(rows: DatabaseRows) -> list[Statement]:
    """Return statements for refused entries whose ids are in the log, from the result of `accepted_entries`."""
    merge = _Merge([sql.entry_of(row[: sql.ENTRY_WIDTH]) for row in rows], 0)
    merge.compare(sql.accepted_of([row[sql.ENTRY_WIDTH :] for row in rows]))
    return merge.statements()


def _is_of(entry: Entry, accepted: sql.LogEvent) -> bool:
    """Return whether the body of an entry has the same content as an accepted event with its id."""
    return not isinstance(accepted.event, MalformedEvent) and is_text_of(entry.body.encode(), accepted.event)


def _put_malformed(bodies: Sequence[MalformedBody], found: Results) -> list[Statement]:
    newest = [MalformedBody(*row) for row in found[sql.NEWEST_MALFORMED]]
    stored = {}
    last = newest[0] if newest else None
    for body in bodies:
        last = body.after(last)
        stored[last.number] = last
    return sql.put_malformed(list(stored.values())) if stored else []
