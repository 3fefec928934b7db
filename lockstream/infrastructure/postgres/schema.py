"""The tables of the log, and which statements keep them."""

from collections.abc import Sequence

from msgspec.structs import astuple

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor, Record
from lockstream.infrastructure.line_codec import chains_of, encode_lines
from lockstream.infrastructure.postgres.connecting import IDLE_SECONDS, Statement

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

HEAD = Statement('SELECT position, "offset", chain FROM head')
"""The end of the log."""

WHERE = Statement(
    'SELECT h.position, h."offset", h.chain, p.schema, p.position = h.position AND p.chain = h.chain '
    "FROM head h LEFT JOIN progress p ON true"
)
"""The end of the log, then of which form the projection is and whether it is where the log is."""

TOUCH_HEAD = Statement("UPDATE head SET position = position")
"""Changes nothing, yet its commit waits for the disk, and for a synchronous standby: with all that came before it."""


def known(events: Sequence[Event]) -> Statement:
    """Which of `events` are in the log, and where."""
    return Statement(
        "SELECT event_id::text, position FROM events WHERE event_id = ANY(%(ids)s::uuid[])",
        {"ids": [event.event_id for event in events]},
    )


def chain_at(position: int) -> Statement:
    return Statement("SELECT encode(chain, 'hex') FROM events WHERE position = %(position)s", {"position": position})


def insertion(events: Sequence[Event], recorded_at: str, after: Cursor) -> tuple[list[Statement], Cursor]:
    """Write `events` behind `after`, and where the log and the projection end then."""
    lines, end = encode_lines(events, recorded_at, after)
    written = _insert(events, [recorded_at] * len(events), after.position, chains_of(lines))
    return [written, move("head", end), move("progress", end)], end


def adoption(records: Sequence[Record], after: Cursor) -> list[Statement]:
    """Write `records` as they are behind `after`; the projection stays behind."""
    times, ends = [record.recorded_at for record in records], [record.end for record in records]
    written = _insert([record.event for record in records], times, after.position, [end.chain for end in ends])
    return [written, move("head", ends[-1])]


def move(table: str, end: Cursor) -> Statement:
    """Have `head`, or the projection's `progress`, say that it has come to `end`."""
    return Statement(f"UPDATE {table} SET {_ENDS}", dict(zip(Cursor.__struct_fields__, astuple(end), strict=True)))  # noqa: S608


def _insert(events: Sequence[Event], recorded: Sequence[str], after: int, chains: Sequence[str]) -> Statement:
    return Statement(
        "INSERT INTO events SELECT %(after)s + n, event_id, locker_id, type, occurred_at, recorded_at, "
        "payload::json, decode(chain, 'hex') FROM unnest(%(ids)s::uuid[], %(lockers)s::text[], %(types)s::text[], "
        "%(times)s::text[], %(recorded)s::text[], %(payloads)s::text[], %(chains)s::text[]) "
        "WITH ORDINALITY AS given (event_id, locker_id, type, occurred_at, recorded_at, payload, chain, n)",
        {
            "after": after,
            "recorded": recorded,
            "ids": [event.event_id for event in events],
            "lockers": [event.locker_id for event in events],
            "types": [type(event).__name__ for event in events],
            "times": [event.occurred_at for event in events],
            "payloads": [event.payload.decode() for event in events],
            "chains": chains,
        },
    )


_ENDS = 'position = %(position)s, "offset" = %(offset)s, chain = %(chain)s'
