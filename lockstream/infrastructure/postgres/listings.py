"""Lists of the projection in PostgreSQL: all statements of one list see one snapshot."""

from collections.abc import Callable
from functools import cache

from sqlalchemy import ARRAY, BigInteger, Select, bindparam, func, literal_column, select, true

from lockstream.core.entities.fields import uuid_range
from lockstream.core.entities.listings import SUMMED
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings, ReadResult
from lockstream.infrastructure.postgres.connection import (
    DIALECT,
    Database,
    DatabaseRows,
    Results,
    Statement,
    transaction_settings,
)
from lockstream.infrastructure.postgres.reads import PostgresReads
from lockstream.infrastructure.postgres.statements import (
    HEAD_AND_VERSION,
    cursor_of,
    events_between,
    version_mismatch,
)
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.listings import SqlListings, Values
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.statements.parts import LIMIT, MIN_SEVERITY
from lockstream.infrastructure.rows.tables import PROJECTION_TABLES, network_totals, open_fault_totals

_BEGIN = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
_LOCK_TABLES = Statement(f"LOCK TABLE {', '.join(table.name for table in PROJECTION_TABLES)} IN ACCESS SHARE MODE")
"""Keeps a rebuild from replacing the tables. It comes before the snapshot, which could not see all of the new rows."""

_READ_IN_ORDER = Statement(
    "SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), "
    "set_config('enable_incremental_sort', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)"
)
"""Makes PostgreSQL read an index in its order and stop at the end of the page, whatever its statistics say.

A bitmap scan or a sort reads all rows that pass the filters, for each page. The start of a parallel worker takes longer
than a page.
"""

_TOTALS = (
    select(*network_totals.c["lockers", *SUMMED]).order_by(network_totals.c.position.desc()).limit(literal_column("1"))
)


def _open_faults() -> Select[tuple[int, int]]:
    """Return a SELECT that seeks the latest row of each severity, from the highest severity to the lowest.

    The rows before the latest ones, which PostgreSQL keeps as long as a snapshot may need them, are never read.
    """
    rows = open_fault_totals.c
    latest = (
        select(rows.severity, rows.count)
        .where(rows.severity >= MIN_SEVERITY)
        .order_by(rows.severity.desc(), rows.position.desc())
        .limit(literal_column("1"))
    )
    found = select(latest.subquery()).cte("found", recursive=True)
    following = latest.where(rows.severity < found.c.severity).lateral()
    found = found.union_all(select(following).join_from(found, following, true()))
    return select(found).limit(LIMIT)


@cache
def _statements() -> ListingStatements:
    """Return the statements of all lists, which all stores of a process share."""
    positions = func.unnest(bindparam("positions", type_=ARRAY(BigInteger))).table_valued("value", name="integers")
    return ListingStatements(DIALECT, positions.render_derived(), _TOTALS, _open_faults())


class PostgresListings:
    """Lists of the projection in a database. For any thread."""

    def __init__(self, database: Database) -> None:
        self._statements = _statements()
        self._database = database
        self._beginning = [
            _BEGIN,
            Statement(f"SET LOCAL lock_timeout = '{database.limits.write_lock_seconds}s'"),
            _LOCK_TABLES,
            transaction_settings(database.limits),
            _READ_IN_ORDER,
            HEAD_AND_VERSION,
        ]

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list, and return its value with the position that it reflects.

        Raises:
            StoreUnavailable: the database cannot be used, or the projection is missing or belongs to another version.
        """

        def execute_query(begun: Results, fetch: Callable[[Statement], DatabaseRows]) -> ReadResult[ValueT]:
            def execute(prepared: Prepared, values: Values) -> DatabaseRows:
                return fetch(Statement(prepared.text, prepared.bind(values)))

            def find_events(prefix: str, limit: int) -> DatabaseRows:
                return fetch(events_between(*uuid_range(prefix), limit))

            if reason := version_mismatch(begun[HEAD_AND_VERSION], self._database.name):
                raise StoreUnavailable(reason)
            position = cursor_of(begun[HEAD_AND_VERSION]).position
            read_records = PostgresReads(fetch).records
            listings = SqlListings(self._statements, execute, position, read_records, find_events)
            return ReadResult(query(listings), position)

        return self._database.read_transaction(self._beginning, execute_query)
