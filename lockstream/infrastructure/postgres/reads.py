"""Reads of a database: the projection's rows, and records of the log."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lockstream.core.entities.log import Cursor, Record, time_of
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.codec.log_line import InvalidLine, decode_lines, format_line
from lockstream.infrastructure.postgres.connection import DIALECT, DatabaseRows, Statement
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.reads import SqlReads, SqlStatements

_RECORDS = (
    "SELECT e.position, e.recorded_at, e.recorded_by, e.event_id::text, e.occurred_at, e.locker_id, e.type, "
    "e.payload::text, encode(e.chain, 'hex'), coalesce(before.\"offset\", 0), "
    "coalesce(encode(before.chain, 'hex'), repeat('0', 64)) "
    "FROM events e LEFT JOIN events before ON before.position = e.position - 1 WHERE "
)
"""Records, each with the end of the record before it, against which the chain value is checked."""

_TIMES = "SELECT position, recorded_at FROM events WHERE position = ANY(%(positions)s::bigint[])"


STATEMENTS = SqlStatements(DIALECT)


class PostgresReads(SqlReads):
    """Reads of rows and records. May be used by as many threads as `fetch` may."""

    def __init__(self, fetch: Callable[[Statement], DatabaseRows]) -> None:
        """`fetch` executes a statement. It raises StoreUnavailable if the database cannot be used."""

        def execute(prepared: Prepared, values: dict[str, str]) -> DatabaseRows:
            return fetch(Statement(prepared.text, prepared.bind(values)))

        super().__init__(STATEMENTS, execute)
        self._fetch = fetch

    def event(self, event_id: str) -> Record | None:
        found = self._records("e.event_id = %(id)s::uuid", {"id": event_id})
        return found[0] if found else None

    def records(self, positions: Iterable[int]) -> list[Record]:
        wanted = list(positions)
        found = self._records("e.position = ANY(%(positions)s::bigint[])", {"positions": wanted})
        return _at(wanted, {record.end.position: record for record in found})

    def times(self, positions: Iterable[int]) -> dict[int, int]:
        wanted = list(positions)
        found: dict[int, str] = dict(self._fetch(Statement(_TIMES, {"positions": wanted})))
        return dict(zip(wanted, map(time_of, _at(wanted, found)), strict=True))

    def _records(self, condition: str, values: dict[str, Any]) -> list[Record]:
        records: list[Record] = []
        for *line, offset, chain in self._fetch(Statement(_RECORDS + condition, values)):
            try:
                records += decode_lines([format_line(*line)], Cursor(line[0] - 1, offset, chain))
            except InvalidLine as error:
                raise StoreUnavailable(
                    f"The record at position {line[0]} is damaged: {error} Run `lockstream verify`."
                ) from error
        return records


def _at[ValueT](positions: Iterable[int], found: Mapping[int, ValueT]) -> list[ValueT]:
    """Return the values at these positions. Raises StoreUnavailable if the log lacks one."""
    try:
        return [found[position] for position in positions]
    except KeyError as missing:
        raise StoreUnavailable(
            f"The log has no record at position {missing}. Send the request again; if that does not help, run "
            "`lockstream verify`."
        ) from missing
