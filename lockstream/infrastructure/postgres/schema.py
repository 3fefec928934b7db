"""The tables of the log, and which statements keep them."""

from collections.abc import Sequence

from msgspec.structs import astuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Record
from lockstream.infrastructure.line_codec import encode_lines, ends_of
from lockstream.infrastructure.postgres.connecting import IDLE_SECONDS, Rows, Statement

TURN = 0x10C4_57EA_0000_0001
"""Which advisory lock the writers of a database take turns by: any number that nobody else takes."""

REBUILDING = TURN + 1
"""The same for those who make a projection anew."""

TAKE_TURN = Statement(f"SELECT pg_advisory_xact_lock({TURN})")

END_ABANDONED_TURN = Statement(
    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "  # noqa: S608  # numbers of our own
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    f"AND l.classid = {TURN >> 32}::oid AND l.objid = {TURN & 0xFFFF_FFFF}::oid "
    "AND a.datname = current_database() AND a.usename = current_user "
    f"AND a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - interval '{IDLE_SECONDS} s'"
)
"""Take the turn from a node that was stopped, or cut off, between two statements that it sends in one go.

There PostgreSQL 16 has no limit of its own: that for idle transactions begins where what was sent has been answered.
"""

HEAD = Statement("SELECT position, \"offset\", encode(chain, 'hex') FROM events ORDER BY position DESC LIMIT 1")
"""The end of the log: see `cursor_of`.

No row says where it is: one that each turn changed would have as many versions as there were turns since the oldest
snapshot, a dump's perhaps, and each turn would read past all of them.
"""

WHERE = Statement(
    "SELECT e.position, e.\"offset\", encode(e.chain, 'hex'), p.schema FROM progress p "
    "LEFT JOIN (SELECT * FROM events ORDER BY position DESC LIMIT 1) e ON true"
)
"""The same, then of which form the projection is; nothing where there is no projection.

One that is there is where the log is: whoever writes to the log alone takes it away (`adoption`).
"""

WRITE = Statement("SELECT pg_logical_emit_message(true, 'lockstream', '')")
"""Changes nothing, yet its commit waits for the disk, and for a synchronous standby: with all that came before it."""


def cursor_of(found: Rows) -> Cursor:
    """The end of the log, by what `HEAD` or `WHERE` has found."""
    return START if not found or found[0][0] is None else Cursor(*found[0][:3])


def known(events: Sequence[Event]) -> Statement:
    """Which of `events` are in the log, and where."""
    return Statement(
        "SELECT event_id::text, position FROM events WHERE event_id = ANY(%(ids)s::uuid[])",
        {"ids": [event.event_id for event in events]},
    )


def chain_at(position: int) -> Statement:
    return Statement("SELECT encode(chain, 'hex') FROM events WHERE position = %(position)s", {"position": position})


def insertion(events: Sequence[Event], recorded_at: str, after: Cursor) -> tuple[Statement, Cursor]:
    """Write `events` behind `after`, and where the log ends then."""
    lines, end = encode_lines(events, recorded_at, after)
    return _insert(events, [recorded_at] * len(events), ends_of(lines, after)), end


def adoption(records: Sequence[Record]) -> list[Statement]:
    """Write `records` as they are; there is no projection then."""
    times, ends = [record.recorded_at for record in records], [record.end for record in records]
    return [_insert([record.event for record in records], times, ends), _FORGET]


def progress_to(end: Cursor) -> Statement:
    """Have a projection that is being made say that it has come to `end`."""
    return Statement(_PROGRESS, dict(zip(Cursor.__struct_fields__, astuple(end), strict=True)))


def _insert(events: Sequence[Event], recorded: Sequence[str], ends: Sequence[Cursor]) -> Statement:
    return Statement(
        "INSERT INTO events SELECT position, event_id, locker_id, type, occurred_at, recorded_at, payload::json, "
        "decode(chain, 'hex'), \"offset\" FROM unnest(%(positions)s::bigint[], %(ids)s::uuid[], %(lockers)s::text[], "
        "%(types)s::text[], %(times)s::text[], %(recorded)s::text[], %(payloads)s::text[], %(chains)s::text[], "
        "%(offsets)s::bigint[]) AS given "
        '(position, event_id, locker_id, type, occurred_at, recorded_at, payload, chain, "offset")',
        {
            "positions": [end.position for end in ends],
            "recorded": recorded,
            "ids": [event.event_id for event in events],
            "lockers": [event.locker_id for event in events],
            "types": [type(event).__name__ for event in events],
            "times": [event.occurred_at for event in events],
            "payloads": [event.payload.decode() for event in events],
            "chains": [end.chain for end in ends],
            "offsets": [end.offset for end in ends],
        },
    )


_PROGRESS = 'UPDATE progress SET position = %(position)s, "offset" = %(offset)s, chain = %(chain)s'
_FORGET = Statement("DO $$ BEGIN IF to_regclass('progress') IS NOT NULL THEN DELETE FROM progress; END IF; END $$")
