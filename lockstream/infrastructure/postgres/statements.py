"""Statements on the log's table, and the advisory locks of writers and rebuilds."""

from collections.abc import Sequence

from msgspec.structs import astuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.infrastructure.codec.log_line import encode_lines, line_ends
from lockstream.infrastructure.postgres.connection import DatabaseRows, Statement, TimeLimits
from lockstream.infrastructure.rows.tables import fingerprint

WRITE_LOCK_ID = 0x10C4_57EA_0000_0001
"""Id of the advisory lock that a node holds while it writes. Any number that no other program uses would do."""

REBUILD_LOCK_ID = WRITE_LOCK_ID + 1
"""Id of the advisory lock that a rebuild holds."""

QUARANTINE_LOCK_ID = WRITE_LOCK_ID + 2
"""Id of the advisory lock that a node holds while it writes to the quarantine. The log is written meanwhile."""

TAKE_WRITE_LOCK = Statement(
    f"SELECT pg_advisory_xact_lock({WRITE_LOCK_ID}), "  # noqa: S608  # a number of our own
    "extract(epoch FROM clock_timestamp() - statement_timestamp())::float8"
)
"""Takes the write lock, and returns the seconds of waiting for it in the second column."""

HEAD = Statement("SELECT position, \"offset\", encode(chain, 'hex') FROM events ORDER BY position DESC LIMIT 1")
"""The end of the log, for `cursor_of`.

No row stores the end. A row that every transaction updates has one version per transaction since the oldest snapshot,
such as a dump's. Every transaction would read past all of these versions.
"""

HEAD_AND_VERSION = Statement(
    "SELECT e.position, e.\"offset\", encode(e.chain, 'hex'), p.schema FROM progress p "
    "LEFT JOIN (SELECT * FROM events ORDER BY position DESC LIMIT 1) e ON true"
)
"""The end of the log and the version of the projection; no row without a projection.

A projection that exists always reflects the whole log: an import into the log alone deletes it (`insert_records`).
"""

FORCE_DURABLE_COMMIT = Statement("SELECT pg_logical_emit_message(true, 'lockstream', '')")
"""Changes nothing, but its commit waits for the disk and for a synchronous standby, with all earlier commits."""

INVALIDATE_PROJECTION = Statement(
    "DO $$ BEGIN IF to_regclass('progress') IS NOT NULL THEN DELETE FROM progress; END IF; END $$"
)


def end_abandoned_transaction(limits: TimeLimits) -> Statement:
    """Return a statement that ends the write transactions of a node that has stopped, or has lost its connection.

    Otherwise, a node that stops between two statements of one round trip would hold the write lock, or the lock of the
    quarantine, for ever: `idle_in_transaction_session_timeout` begins only after the round trip is answered.
    """
    return Statement(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "  # noqa: S608  # our own numbers
        "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
        f"AND l.classid = {WRITE_LOCK_ID >> 32}::oid "
        f"AND l.objid IN ({WRITE_LOCK_ID & 0xFFFF_FFFF}::oid, {QUARANTINE_LOCK_ID & 0xFFFF_FFFF}::oid) "
        "AND a.datname = current_database() AND a.usename = current_user "
        f"AND a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - interval '{limits.idle_seconds} s'"
    )


def version_mismatch(head_and_version: DatabaseRows, name: str) -> str | None:
    """Return why the projection in a database cannot be used, or None, from the result of `HEAD_AND_VERSION`."""
    if head_and_version and head_and_version[0][3] == fingerprint():
        return None
    return (
        f"The projection in the database {name} is missing or belongs to another version of Lockstream. Run the "
        "version of the other nodes; the start of a node rebuilds the projection if it must."
    )


def cursor_of(found: DatabaseRows) -> Cursor:
    """Return the end of the log from the result of `HEAD` or `HEAD_AND_VERSION`."""
    return START if not found or found[0][0] is None else Cursor(*found[0][:3])


def positions_of(events: Sequence[Event]) -> Statement:
    """Return a statement that finds the ids and positions of those `events` that the log holds."""
    return Statement(
        "SELECT event_id::text, position FROM events WHERE event_id = ANY(%(ids)s::uuid[])",
        {"ids": [event.event_id for event in events]},
    )


def events_between(lowest: str, highest: str, limit: int) -> Statement:
    """Return a statement that finds up to `limit` ids and positions of events between two UUIDs, sorted by id."""
    return Statement(
        "SELECT event_id::text, position FROM events WHERE event_id >= %(lowest)s::uuid "
        "AND event_id <= %(highest)s::uuid ORDER BY events.event_id LIMIT %(limit)s::bigint",
        {"lowest": lowest, "highest": highest, "limit": limit},
    )


def chain_at(position: int) -> Statement:
    """Return a statement that finds the chain value of the record at `position`."""
    return Statement("SELECT encode(chain, 'hex') FROM events WHERE position = %(position)s", {"position": position})


def recorded_at(position: int) -> Statement:
    """Return a statement that finds the recorded time of the record at `position`."""
    return Statement("SELECT recorded_at FROM events WHERE position = %(position)s", {"position": position})


def insert_events(events: Sequence[Event], recorded_at: str, after: Cursor) -> tuple[Statement, Cursor]:
    """Return a statement that appends `events` after `after`, and the new end of the log."""
    lines, end = encode_lines(events, recorded_at, after)
    return _insert(events, [recorded_at] * len(events), line_ends(lines, after)), end


def insert_records(records: Sequence[Record]) -> list[Statement]:
    """Return statements that append `records` unchanged, and invalidate the projection."""
    times, ends = [record.recorded_at for record in records], [record.end for record in records]
    return [_insert([record.event for record in records], times, ends), INVALIDATE_PROJECTION]


def update_progress(end: Cursor) -> Statement:
    """Return a statement that sets the cursor of a projection, which is being built, to `end`."""
    return Statement(
        'UPDATE progress SET position = %(position)s, "offset" = %(offset)s, chain = %(chain)s',
        dict(zip(Cursor.__struct_fields__, astuple(end), strict=True)),
    )


def _insert(events: Sequence[Event], recorded: Sequence[str], ends: Sequence[Cursor]) -> Statement:
    return Statement(
        'INSERT INTO events (position, event_id, locker_id, type, occurred_at, recorded_at, payload, chain, "offset", '
        "recorded_by) SELECT position, event_id, locker_id, type, occurred_at, recorded_at, payload::json, "
        "decode(chain, 'hex'), \"offset\", recorded_by FROM unnest(%(positions)s::bigint[], %(ids)s::uuid[], "
        "%(lockers)s::text[], %(types)s::text[], %(times)s::text[], %(recorded)s::text[], %(payloads)s::text[], "
        "%(chains)s::text[], %(offsets)s::bigint[], %(keys)s::text[]) AS given "
        '(position, event_id, locker_id, type, occurred_at, recorded_at, payload, chain, "offset", recorded_by)',
        {
            "positions": [end.position for end in ends],
            "recorded": recorded,
            "ids": [event.event_id for event in events],
            "lockers": [event.locker_id for event in events],
            "types": [type(event).__name__ for event in events],
            "times": [event.occurred_at for event in events],
            "payloads": [event.payload_text.decode() for event in events],
            "chains": [end.chain for end in ends],
            "offsets": [end.offset for end in ends],
            "keys": [str(event.recorded_by) or None for event in events],
        },
    )
