"""Each page of a list is read from the index in its order, on both engines, whatever they know of the tables."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import Status
from lockstream.infrastructure.postgres.connection import (
    BEGIN_READING,
    DatabaseRows,
    Results,
    Statement,
    transaction_settings,
)
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.sqlite.listings import SqliteListings
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.infrastructure.stores.listing_queries import ANY, ORDERS
from lockstream.tests.support.databases import connect, new_database

type Query = LockerQuery | CompartmentQuery | ReservationQuery | FaultQuery

OTHERS = {
    "locker_ids": {"lockers_pkey"},
    "compartment_ids": {"compartments_by_compartment_id"},
    "reservation_ids": {"reservations_pkey"},
    "times": {"moments_pkey"},
    "position_at": {"moments_pkey", "moments_by_time"},
}
"""Indexes that statements without filters read, by the name of the statement."""

FILLING = """
    INSERT INTO lockers SELECT 'L' || i, 9, i, 4, i % 50, i % 20 / 19, 1, 1, 5, 1 FROM generate_series(1, 5000) i;
    INSERT INTO compartments SELECT 'L' || i / 4, 'C' || i % 4, CASE WHEN i % 3 = 0 THEN md5(i::text) END, 0, i
        FROM generate_series(1, 20000) i;
    INSERT INTO reservations SELECT md5(i::text), 'L' || i / 4, 'C' || i % 4,
        CASE WHEN i % 3 = 0 THEN 'CREATED' WHEN i % 200 = 1 THEN 'EXPIRED' WHEN i % 7 = 0 THEN 'DEPOSITED'
            ELSE 'PICKED_UP' END,
        i, 0, i * 7919 % 20000 FROM generate_series(1, 20000) i;
    INSERT INTO faults SELECT 'f' || i, 'L' || i / 4, 'C' || i % 4, i % 6, i, CASE WHEN i % 50 = 0 THEN 0 ELSE i END
        FROM generate_series(1, 10000) i;
    INSERT INTO moments SELECT i * 10 + 1, i FROM generate_series(0, 5000) i;
    ANALYZE
"""


def queries() -> Iterator[Query]:
    """Yield one query for each combination of filters and orders."""
    for wanted in product(ANY, ANY):
        yield LockerQuery("L", *wanted)
    for state in (None, *CompartmentState):
        yield CompartmentQuery("L", state)
    for status, locker_id, (order, descending) in product((None, *Status), (None, "L"), ORDERS):
        yield ReservationQuery(status, locker_id, order=order, descending=descending)
    for is_open, place, descending in product(ANY, ((None, None), ("L", None), ("L", "C")), (False, True)):
        yield FaultQuery(is_open, 3, *place, descending)


def indexes_of(query: Query) -> set[str]:
    """Return the indexes that a list must be read from."""
    match query:
        case LockerQuery(available=None, degraded=None):
            return {"lockers_pkey"}
        case LockerQuery(available=available, degraded=degraded):
            filling = {None: ("available", "full"), True: ("available",), False: ("full",)}[available]
            damage = {None: ("_degraded", ""), True: ("_degraded",), False: ("",)}[degraded]
            return {"".join(parts) + "_lockers" for parts in product(filling, damage)}
        case CompartmentQuery():
            return {"compartments_pkey", "reservations_pkey"}
        case ReservationQuery(locker_id=None, order=ReservationOrder.ID, status=None | Status.PICKED_UP):
            return {"reservations_pkey"}
        case ReservationQuery(status=status):
            key = "locker" if query.locker_id else {"changed": "change", "id": "id"}[query.order]
            return {f"{one.lower()}_reservations_by_{key}" for one in ([status] if status else Status)}
        case FaultQuery():
            kinds = {None: ("open", "cleared"), True: ("open",), False: ("cleared",)}[query.open]
            return {f"{kind}_faults_by_{'locker' if query.locker_id else 'report'}" for kind in kinds}


def statement_for(query: Query | str, statements: ListingStatements) -> Prepared:
    match query:
        case LockerQuery():
            return statements.lockers(query)
        case CompartmentQuery():
            return statements.compartments(query)
        case ReservationQuery():
            return statements.reservations(query)
        case FaultQuery():
            return statements.faults(query)
        case name:
            statement: Prepared = getattr(statements, name)
            return statement


def sorts_rows(query: Query | str) -> bool:
    """Return whether SQLite may sort: the first rows of several indexes, or the reservations of one locker."""
    match query:
        case str() | CompartmentQuery():
            return False
        case ReservationQuery(locker_id="L", order=ReservationOrder.ID):
            return True
        case _:
            return len(indexes_of(query)) > 1


CASES: list[tuple[Query | str, set[str]]] = [*((query, indexes_of(query)) for query in queries()), *OTHERS.items()]
each_case = pytest.mark.parametrize(("query", "indexes"), CASES, ids=[repr(query) for query, _ in CASES])

VALUES = {
    "lower": 1,
    "upper": 9,
    "changed_from": 1,
    "changed_through": 9,
    "min_severity": 1,
    "positions": "[1]",
    "locker_id": "L",
    "compartment_id": "C",
    "limit": 5,
    "time": 1,
}


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "projection.sqlite"
    SqliteProjection.create(path).close()
    return path


@pytest.fixture(scope="module", params=["empty", "filled"])
def database_store(request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    with new_database() as url:
        if request.param == "filled":
            with closing(connect(url)) as connection:
                connection.execute(FILLING)
        with closing(PostgresStore(url)) as store:
            yield store


@each_case
def test_sqlite_reads_a_list_from_its_index(sqlite_file: Path, query: Query | str, indexes: set[str]) -> None:
    with closing(SqliteListings(sqlite_file)) as lists, closing(sqlite3.connect(sqlite_file)) as connection:
        statement = statement_for(query, lists._statements)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.bind(VALUES))
        steps = [step for *_, step in plan]

    assert {index for step in steps for index in sqlite_indexes(step)} == indexes
    assert not [step for step in steps if re.match("SCAN (lockers|compartments|reservations|faults|moments)", step)]
    assert sorts_rows(query) or not [step for step in steps if "TEMP B-TREE" in step]


def sqlite_indexes(step: str) -> Iterator[str]:
    """Yield the index that a step of a plan names, as PostgreSQL would name it."""
    for table in re.findall(r"(\w+) USING PRIMARY KEY", step):
        yield "moments_pkey" if table == "following" else f"{table}_pkey"
    yield from re.findall(r"INDEX (\w+)", step.removesuffix("VIRTUAL TABLE INDEX 1:"))


@each_case
def test_postgres_reads_a_list_from_its_index(
    database_store: PostgresStore, query: Query | str, indexes: set[str]
) -> None:
    lists = database_store._listings
    statement = statement_for(query, lists._statements)

    plan = lists._database.read_transaction(lists._beginning, partial(plan_of, statement))

    assert {index for line in plan for index in re.findall(r"Scan.* using (\w+) on", line)} == indexes
    assert not [line for line in plan if re.search("Seq Scan|Bitmap|Hash Join|Merge Join|Gather", line)]


@pytest.mark.parametrize("database_store", ["filled"], indirect=True)
def test_postgres_counts_open_faults_in_their_index(database_store: PostgresStore) -> None:
    """An empty table may be read as it is."""
    lists = database_store._listings
    statement = lists._statements.open_faults_by_severity
    plan = lists._database.read_transaction(lists._beginning, partial(plan_of, statement))
    assert [line for line in plan if re.search("Index (Only )?Scan using open_faults", line)]


def test_postgres_reads_one_locker_from_the_index_of_open_faults(database_store: PostgresStore) -> None:
    """A parameter in the place of the index's condition would make it read all faults that were ever reported."""
    database = database_store._database
    beginning = [BEGIN_READING, transaction_settings(database.limits)]
    for statement in (database_store._statements.locker, database_store._statements.locker_state):
        plan = database.read_transaction(beginning, partial(plan_of, statement))
        assert [line for line in plan if "Index Scan using open_faults" in line]
        assert not [line for line in plan if "Seq Scan" in line]


def plan_of(statement: Prepared, _: Results, fetch: Callable[[Statement], DatabaseRows]) -> list[str]:
    return generic_plan(statement, fetch)


def generic_plan(statement: Prepared, fetch: Callable[[Statement], DatabaseRows]) -> list[str]:
    """Return the lines of a plan that PostgreSQL makes before it knows the parameters."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.text)))
    numbered = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statement.text)
    fetch(Statement(f"PREPARE listing AS {numbered}"))
    values = f"({', '.join(['NULL'] * len(names))})" if names else ""
    lines = fetch(Statement(f"EXPLAIN EXECUTE listing{values}"))
    fetch(Statement("DEALLOCATE listing"))
    return [line for (line,) in lines]
