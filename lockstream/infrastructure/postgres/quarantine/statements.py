"""Statements on the tables of the quarantine, and rows as entities.

Entries of the kind `refused` leave once their event is accepted, by any node. The next read or write compares them with
the accepted events, and deletes those with the same content.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict, astuple

from lockstream.core.entities.access import Lockers
from lockstream.core.entities.events import Event
from lockstream.core.entities.quarantine import (
    ENTRY_BYTES,
    MALFORMED_BODIES,
    Discard,
    Entry,
    EntryKind,
    EntryStatus,
    MalformedBody,
    QuarantineLimits,
    QuarantineQuery,
)
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_recorded, encode_text, event_of_members
from lockstream.infrastructure.postgres.connection import DatabaseRows, Statement
from lockstream.infrastructure.postgres.statements import QUARANTINE_LOCK_ID

NEW_EVENTS = 50_000
"""Most events since the last check of the entries that are looked up among the entries.

After more events, such as at the first write, the entries are looked up among the events instead.
"""

SPARE_PARTS = 50
"""One part in this many of the bounds is freed beyond need, so that the next entries find room.

Finding the entries to delete compares all entries, in half a second. A quarantine for fewer entries than this number
has no spare room.
"""

TAKE_LOCK = Statement(f"SELECT pg_advisory_xact_lock({QUARANTINE_LOCK_ID})")
"""Takes the lock of all writers of the quarantine, which is not the write lock of the log."""

TRANSACTION_ID = Statement("SELECT pg_current_xact_id()::text")

READ_WHOLE_TABLES = Statement("SELECT set_config('enable_seqscan', 'on', true)")
"""Lets the next statements of the transaction, which need every entry, read the table from its beginning."""

_ENTRY_COLUMNS = (
    "q.event_id::text, q.kind, q.code, q.detail, q.locker_id, q.type, q.occurred_at, q.first_at, q.last_at, q.count, "
    "q.address, q.body, q.discard_reason, q.discard_at, q.number"
)
ENTRY_WIDTH = 15
"""Columns of a row that belong to the entry. Those of an event follow in results of `accepted_entries`."""

_MALFORMED_COLUMNS = "reason, detail, first_at, last_at, count, address, body, number"


class TotalsRow(Struct, frozen=True):
    """The row of `quarantine_totals`."""

    last_number: int = 0
    """Number of the newest entry, even if it has left."""

    checked_position: int = 0
    dropped: int = 0
    unchecked_duplicates: int = 0
    malformed: dict[str, int] = field(default_factory=dict)


TOTALS = Statement(
    "SELECT last_number, checked_position, dropped, unchecked_duplicates, malformed::text FROM quarantine_totals"
)
"""The totals, for `totals_of`."""

NEWEST_MALFORMED = Statement(f"SELECT {_MALFORMED_COLUMNS} FROM quarantine_malformed ORDER BY number DESC LIMIT 1")  # noqa: S608  # our own names

_EVENT_COLUMNS = "e.event_id::text, e.occurred_at, e.locker_id, e.type, e.payload::text, e.position"
_NEWLY_ACCEPTED_ENTRIES = (
    "WITH accepted AS MATERIALIZED (SELECT event_id FROM events WHERE position > %(checked)s) "  # noqa: S608  # our own names
    f"SELECT {_ENTRY_COLUMNS}, {_EVENT_COLUMNS} FROM accepted JOIN quarantine q USING (event_id) "
    "JOIN events e USING (event_id) WHERE q.kind = 'refused'"
)
_ALL_ACCEPTED_ENTRIES = (
    f"SELECT {_ENTRY_COLUMNS}, {_EVENT_COLUMNS} FROM quarantine q JOIN events e USING (event_id) "  # noqa: S608  # our own names
    "WHERE q.kind = 'refused'"
)


class LogEvent(NamedTuple):
    """An event of the log, to be compared with an entry that has its id."""

    event: Event | MalformedEvent
    """The event, or MalformedEvent if its row is damaged: then no entry counts as having the same content."""

    position: int


def totals_of(found: DatabaseRows) -> TotalsRow:
    """Return the totals from the result of `TOTALS`. A new database has no row."""
    if not found:
        return TotalsRow()
    last_number, checked_position, dropped, unchecked_duplicates, malformed = found[0]
    counts = msgspec.json.decode(malformed, type=dict[str, int])
    return TotalsRow(last_number, checked_position, dropped, unchecked_duplicates, counts)


def put_totals(totals: TotalsRow) -> Statement:
    """Return a statement that stores the totals."""
    return Statement(
        "INSERT INTO quarantine_totals (last_number, checked_position, dropped, unchecked_duplicates, malformed) "
        "VALUES (%(last_number)s, %(checked_position)s, %(dropped)s, %(unchecked_duplicates)s, %(malformed)s::json) "
        "ON CONFLICT (only_row) DO UPDATE SET last_number = excluded.last_number, "
        "checked_position = excluded.checked_position, dropped = excluded.dropped, "
        "unchecked_duplicates = excluded.unchecked_duplicates, malformed = excluded.malformed",
        {**asdict(totals), "malformed": msgspec.json.encode(totals.malformed).decode()},
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row that one of the statements below has found."""
    event_id, kind, *values, discard_reason, discard_at, number = row
    discard = None if discard_at is None else Discard(discard_reason, discard_at)
    return Entry(
        **dict(zip(Entry.__struct_fields__, [event_id, EntryKind(kind), *values, discard, number], strict=True))
    )


def entry_with_id(event_id: str) -> Statement:
    """Return a statement that finds the entry of an event id."""
    return Statement(
        f"SELECT {_ENTRY_COLUMNS} FROM quarantine q WHERE q.event_id = %(event_id)s::uuid",  # noqa: S608  # our own names
        {"event_id": event_id},
    )


def entries_with_ids(event_ids: Sequence[str]) -> Statement:
    """Return a statement that finds the entries with these event ids."""
    return Statement(
        f"SELECT {_ENTRY_COLUMNS} FROM quarantine q WHERE q.event_id = ANY(%(ids)s::uuid[])",  # noqa: S608  # our own names
        {"ids": list(event_ids)},
    )


def events_with_ids(event_ids: Sequence[str]) -> Statement:
    """Return a statement that finds the events of the log with these ids, for `accepted_of`."""
    return Statement(
        f"SELECT {_EVENT_COLUMNS} FROM events e WHERE e.event_id = ANY(%(ids)s::uuid[])",  # noqa: S608  # our own names
        {"ids": list(event_ids)},
    )


def accepted_of(rows: Sequence[Sequence[Any]]) -> dict[str, LogEvent]:
    """Return the events of log rows by id."""
    texts = []
    for *members, payload, _ in rows:
        event_id, occurred_at, locker_id, event_type = (encode_text(member).encode() for member in members)
        texts.append(event_of_members(event_id, occurred_at, locker_id, event_type, payload.encode()))
    return {row[0]: LogEvent(event, row[-1]) for row, event in zip(rows, decode_recorded(texts), strict=True)}


def put_entries(entries: Sequence[Entry]) -> Statement:
    """Return a statement that inserts `entries`, or replaces the entries with the same ids."""
    columns = {name: [getattr(entry, name) for entry in entries] for name in _TYPES if name not in _DISCARD_NAMES}
    columns["kind"] = [entry.kind.value for entry in entries]
    columns["discard_reason"] = [entry.discard.reason if entry.discard else None for entry in entries]
    columns["discard_at"] = [entry.discard.at if entry.discard else None for entry in entries]
    return Statement(_PUT_ENTRIES, columns)


def delete_entries(event_ids: Sequence[str]) -> Statement:
    """Return a statement that deletes the entries with these event ids."""
    return Statement("DELETE FROM quarantine WHERE event_id = ANY(%(ids)s::uuid[])", {"ids": list(event_ids)})


def accepted_entries(checked: int, head: int) -> Statement | None:
    """Return a statement that finds refused entries whose ids are in the log, with the events that have these ids.

    The log ends at `head`. The entries were compared with all events up to position `checked` before.
    """
    if head == checked:
        return None
    if checked < head <= checked + NEW_EVENTS:
        return Statement(_NEWLY_ACCEPTED_ENTRIES, {"checked": checked})
    return Statement(_ALL_ACCEPTED_ENTRIES)


def size_since(oldest: str) -> Statement:
    """Return a statement that finds the number and the bytes of entries since a time, and the number of older ones."""
    return Statement(
        f"SELECT count(*) FILTER (WHERE last_at >= %(oldest)s), coalesce(sum(octet_length(body) + {ENTRY_BYTES}) "  # noqa: S608  # our own number
        "FILTER (WHERE last_at >= %(oldest)s), 0)::bigint, count(*) FILTER (WHERE last_at < %(oldest)s) "
        "FROM quarantine",
        {"oldest": oldest},
    )


def delete_older(oldest: str) -> Statement:
    """Return a statement that deletes entries without an arrival since a time."""
    return Statement("DELETE FROM quarantine WHERE last_at < %(oldest)s", {"oldest": oldest})


def delete_excess(limits: QuarantineLimits) -> Statement:
    """Return a statement that deletes entries until the bounds hold, and finds the number of these entries.

    The room is divided between remote addresses, and the room of an address between lockers. Whoever has the most
    bytes loses the oldest entry first; of two with as many, the one whose name sorts first, as in a file.
    """
    entries, spare_bytes = limits.entries - limits.entries // SPARE_PARTS, limits.bytes // SPARE_PARTS
    if entries == limits.entries:
        spare_bytes = 0
    return Statement(_DELETE_EXCESS, {"entries": entries, "bytes": limits.bytes - spare_bytes})


def entries_matching(query: QuarantineQuery, after: int | None, limit: int) -> Statement:
    """Return a statement that finds up to `limit` entries behind the entry with number `after`."""
    status = "IS NULL" if query.status is EntryStatus.OPEN else "IS NOT NULL"
    wanted: dict[str, object] = {
        "kind": query.kind and query.kind.value,
        "code": query.code,
        "locker_id": query.locker_id,
        "type": query.event_type and query.event_type.__name__,
    }
    values = {name: value for name, value in wanted.items() if value is not None}
    conditions = [f"q.discard_at {status}", *(f"q.{name} = %({name})s" for name in values)]
    if query.lockers is not None:
        conditions.append(_OF_LOCKERS)
        values |= _values_of(query.lockers)
    if query.since:
        conditions.append("q.last_at >= %(since)s")
        values["since"] = query.since
    if after is not None:
        conditions.append(f"q.number {'<' if query.descending else '>'} %(after)s")
        values["after"] = after
    return Statement(
        f"SELECT {_ENTRY_COLUMNS} FROM quarantine q WHERE {' AND '.join(conditions)} "  # noqa: S608  # our own names
        f"ORDER BY q.number {'DESC' if query.descending else 'ASC'} LIMIT %(limit)s",
        {**values, "limit": limit},
    )


def count_entries_of(lockers: Lockers) -> Statement:
    """Return a statement that counts entries of lockers by code, and by whether they are discarded."""
    return Statement(_COUNT_OF_LOCKERS, _values_of(lockers))


def discard_entry(event_id: str, discard: Discard) -> Statement:
    """Return a statement that notes an operator's decision, and finds the entry."""
    return Statement(
        "UPDATE quarantine q SET discard_reason = %(reason)s, discard_at = %(at)s "  # noqa: S608  # our own names
        f"WHERE q.event_id = %(event_id)s::uuid RETURNING {_ENTRY_COLUMNS}",
        {"event_id": event_id, "reason": discard.reason, "at": discard.at},
    )


def malformed_before(number: int | None, limit: int) -> Statement:
    """Return a statement that finds up to `limit` malformed bodies before a number, the newest first."""
    return Statement(
        f"SELECT {_MALFORMED_COLUMNS} FROM quarantine_malformed "  # noqa: S608  # our own names
        "WHERE number < coalesce(%(number)s::bigint, 9223372036854775807) ORDER BY number DESC LIMIT %(limit)s",
        {"number": number, "limit": limit},
    )


def put_malformed(bodies: Sequence[MalformedBody]) -> list[Statement]:
    """Return statements that store malformed bodies, and delete those that are no longer among the newest."""
    columns = zip(*map(astuple, bodies), strict=True)
    oldest = bodies[-1].number - MALFORMED_BODIES
    return [
        Statement(_PUT_MALFORMED, dict(zip(MalformedBody.__struct_fields__, map(list, columns), strict=True))),
        Statement("DELETE FROM quarantine_malformed WHERE number <= %(oldest)s", {"oldest": oldest}),
    ]


def status_of_transaction(transaction_id: str) -> Statement:
    """Return a statement that finds whether a transaction was committed: `committed`, `aborted`, `in progress`."""
    return Statement("SELECT pg_xact_status(%(id)s::text::xid8)", {"id": transaction_id})


_OTHER_TYPES = {"event_id": "uuid", "count": "bigint", "number": "bigint"}
_DISCARD_NAMES = ("discard_reason", "discard_at")
_TYPES = {
    name: _OTHER_TYPES.get(name, "text") for name in (*Entry.__struct_fields__, *_DISCARD_NAMES) if name != "discard"
}
_NAMES = ", ".join(_TYPES)
_PUT_ENTRIES = (
    f"INSERT INTO quarantine ({_NAMES}) "  # noqa: S608  # our own names
    f"SELECT {_NAMES} FROM unnest({', '.join(f'%({name})s::{type_}[]' for name, type_ in _TYPES.items())}) "
    f"AS given ({_NAMES}) ON CONFLICT (event_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _TYPES if name not in ("event_id", "number"))
)
_PUT_MALFORMED = (
    f"INSERT INTO quarantine_malformed ({_MALFORMED_COLUMNS}) "  # noqa: S608  # our own names
    f"SELECT {_MALFORMED_COLUMNS} FROM unnest(%(reason)s::text[], %(detail)s::text[], %(first_at)s::text[], "
    "%(last_at)s::text[], %(count)s::bigint[], %(address)s::text[], %(body)s::text[], %(number)s::bigint[]) "
    f"AS given ({_MALFORMED_COLUMNS}) "
    "ON CONFLICT (number) DO UPDATE SET count = excluded.count, last_at = excluded.last_at"
)
_DELETE_EXCESS = f"""
    WITH by_locker AS (
        SELECT event_id, address, locker_id, octet_length(body) + {ENTRY_BYTES} AS size,
               sum(octet_length(body) + {ENTRY_BYTES}) OVER (
                   PARTITION BY address, locker_id ORDER BY last_at DESC, number DESC ROWS UNBOUNDED PRECEDING
               ) AS place
        FROM quarantine
    ), by_address AS (
        SELECT event_id, address, size,
               sum(size) OVER (
                   PARTITION BY address ORDER BY place, locker_id DESC ROWS UNBOUNDED PRECEDING
               ) AS place
        FROM by_locker
    ), kept_first AS (
        SELECT event_id, row_number() OVER first_ones AS entries, sum(size) OVER first_ones AS bytes
        FROM by_address
        WINDOW first_ones AS (ORDER BY place, address DESC ROWS UNBOUNDED PRECEDING)
    ), dropped AS (
        DELETE FROM quarantine WHERE event_id IN (
            SELECT event_id FROM kept_first WHERE entries > %(entries)s OR bytes > %(bytes)s
        ) RETURNING 1
    )
    SELECT count(*) FROM dropped
"""  # noqa: S608  # our own number
_COUNT = "SELECT code, discard_at IS NOT NULL, count(*) FROM quarantine q"
_OF_LOCKERS = "(q.locker_id = ANY(%(locker_ids)s::text[]) OR q.locker_id ^@ ANY(%(locker_prefixes)s::text[]))"
_COUNT_OF_LOCKERS = f"{_COUNT} WHERE {_OF_LOCKERS} GROUP BY 1, 2"
COUNT_ENTRIES = Statement(f"{_COUNT} GROUP BY 1, 2")
"""Counts entries by code, and by whether they are discarded."""


def _values_of(lockers: Lockers) -> dict[str, list[str]]:
    return {"locker_ids": sorted(lockers.ids), "locker_prefixes": list(lockers.prefixes)}
