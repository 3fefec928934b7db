"""Each page of a list is read from the index in its order, on both engines, whatever they know of the tables.

So are the pages of a history. The rows that make a past state are read from indexes of the locker.
"""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import product
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from lockstream.core.entities.events import (
    EVENT_TYPES,
    CompartmentRegistered,
    Event,
    FaultCleared,
    FaultReported,
    ParcelDeposited,
    ParcelPickedUp,
    ReservationCreated,
    ReservationExpired,
)
from lockstream.core.entities.fields import uuid_range
from lockstream.core.entities.listings import (
    CompartmentQuery,
    CompartmentState,
    FaultQuery,
    HistoryQuery,
    LockerOrder,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import FINAL, Compartment, Fault, Reservation, Row, Status
from lockstream.infrastructure.postgres.connection import (
    BEGIN_READING,
    DatabaseRows,
    Results,
    Statement,
    transaction_settings,
)
from lockstream.infrastructure.postgres.reads import STATEMENTS
from lockstream.infrastructure.postgres.statements import events_between
from lockstream.infrastructure.rows.listing_statements import ListingStatements
from lockstream.infrastructure.rows.listings import MERGED_SEVERITIES
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.infrastructure.stores.listing_queries import ANY, ORDERS
from lockstream.tests.support.databases import connect, new_database


class Lasting(NamedTuple):
    """The rows of one class whose events still mattered at a position, of a locker or of one of its compartments."""

    row_class: type[Row]
    of_compartment: bool


class Sorted(NamedTuple):
    """Lockers that no index has in their order."""

    query: LockerQuery


class Counted(NamedTuple):
    """The number of lockers that pass the filters of a sorted list."""

    query: LockerQuery


class Severe(NamedTuple):
    """The faults of several severities, which are merged."""

    query: FaultQuery
    severities: int


type Query = (
    LockerQuery | Sorted | Counted | CompartmentQuery | ReservationQuery | FaultQuery | Severe | HistoryQuery | Lasting
)

ROW_CLASSES: tuple[type[Row], ...] = Compartment, Reservation, Fault

OF_LOCKER = "compartments_pkey|compartments_by_registration"
"""Indexes that begin with the locker's id. Each finds its compartments as well as the other."""

OF_COMPARTMENT = "compartments_by_registration|compartments_by_compartment_id"
"""Indexes that hold the position of one registration."""

HISTORY: dict[type[Event], set[str]] = {
    CompartmentRegistered: {"compartments_by_registration"},
    ReservationCreated: {"reservations_by_creation"},
    ParcelDeposited: {"reservations_by_deposit"},
    ParcelPickedUp: {"picked_up_reservations_by_locker"},
    ReservationExpired: {"expired_reservations_by_locker"},
    FaultReported: {"open_faults_by_locker", "cleared_faults_by_locker"},
    FaultCleared: {"faults_by_clearance"},
}
"""The indexes that hold the positions of events of a type."""

KINDS_OF_FAULTS = {None: ("open", "cleared"), True: ("open",), False: ("cleared",)}
"""Beginnings of the names of indexes that hold faults, by the filter `open`."""

OTHERS = {
    "locker_ids": {"lockers_pkey"},
    "compartment_ids": {"compartments_by_compartment_id"},
    "reservation_ids": {"reservations_pkey"},
    "times": {"moments_pkey"},
    "positions_at": {"moments_pkey", "moments_by_time"},
    "old_deposits": {"deposited_reservations_by_change"},
    "active_lockers": {"lockers_by_last_event"},
    "recent_position": {"lockers_by_last_event"},
    "has_locker": {"lockers_pkey"},
    "has_compartment": {"compartments_pkey|compartments_by_compartment_id"},
    "reservation": {"reservations_pkey"},
    "event_counts": set().union(*HISTORY.values()),
}
"""Indexes that statements without filters read, by the name of the statement."""

MANY_LOCKERS = """
    INSERT INTO lockers SELECT 'L' || i, 9, i, 4, i % 50, i % 20 / 19, 1, 1, 5, 1, 300, 9000
        FROM generate_series(1, 5000) i;
    INSERT INTO compartments SELECT 'L' || i / 4, 'C' || i % 4, CASE WHEN i % 3 = 0 THEN md5(i::text) END, 0, i, i
        FROM generate_series(1, 20000) i;
    INSERT INTO reservations SELECT md5(i::text), 'L' || i / 4, 'C' || i % 4,
        CASE WHEN i % 3 = 0 THEN 'CREATED' WHEN i % 200 = 1 THEN 'EXPIRED' WHEN i % 7 = 0 THEN 'DEPOSITED'
            ELSE 'PICKED_UP' END,
        i, i % 3 * i, i * 7919 % 20000 FROM generate_series(1, 20000) i;
    INSERT INTO faults SELECT 'f' || i, 'L' || i / 4, 'C' || i % 4, i % 6, i, CASE WHEN i % 50 = 0 THEN 0 ELSE i END
        FROM generate_series(1, 10000) i;
    INSERT INTO moments SELECT i * 10 + 1, i FROM generate_series(0, 5000) i;
    INSERT INTO events SELECT i, md5(i::text)::uuid, 'L', '', '', '', '{}', sha256(''), i
        FROM generate_series(1, 5000) i;
    ANALYZE
"""

LONG_LIVES = """
    INSERT INTO lockers SELECT 'L' || i, 9, i, 20, i % 50, i % 2, 1, 1, 5, 1, 300, 9000 FROM generate_series(0, 9) i;
    INSERT INTO compartments SELECT 'L' || i % 10, 'C' || i / 10, CASE WHEN i % 3 = 0 THEN md5(i::text) END, 0, i, i
        FROM generate_series(0, 199) i;
    INSERT INTO reservations SELECT md5(i::text), 'L' || i % 10, 'C' || i / 10 % 20,
        CASE WHEN i < 200 AND i % 3 = 0 THEN 'DEPOSITED' WHEN i % 50 = 1 THEN 'EXPIRED' ELSE 'PICKED_UP' END,
        3 * i + 200, 3 * i + 201, 3 * i + 202 FROM generate_series(0, 20000) i;
    INSERT INTO faults SELECT 'f' || i, 'L' || i % 10, 'C' || i / 10 % 20, i % 6, 6 * i,
        CASE WHEN i % 50 = 0 THEN 0 ELSE 6 * i + 5 END FROM generate_series(1, 10000) i;
    INSERT INTO moments SELECT i * 10 + 1, i FROM generate_series(0, 5000) i;
    ANALYZE
"""

FILLINGS = {"empty": "SELECT 1", "many lockers": MANY_LOCKERS, "long lives": LONG_LIVES}
"""Statements that fill the tables of PostgreSQL: many lockers with few events, or few lockers with many events."""


def queries() -> Iterator[Query]:
    """Yield one query for each combination of filters and orders."""
    for has, is_silent in product(product(ANY, ANY), product(ANY, ANY)):
        yield Counted(LockerQuery("L", *has, *is_silent, order=LockerOrder.AVAILABLE))
        for descending in (False, True):
            yield LockerQuery("L", *has, *is_silent, descending=descending)
            yield Sorted(LockerQuery("L", *has, *is_silent, order=LockerOrder.AVAILABLE, descending=descending))
    for two, descending in product(product(ANY, ANY), (False, True)):
        yield LockerQuery("", None, None, *two, order=LockerOrder.LAST_EVENT, descending=descending)
        yield LockerQuery("", *two, order=LockerOrder.DEGRADED, descending=descending)
    for state in (None, *CompartmentState):
        yield CompartmentQuery("L", state)
    for status, locker_id, (order, descending) in product((None, *Status), (None, "L"), ORDERS):
        yield ReservationQuery(status, locker_id, order=order, descending=descending)
    for is_open, place, descending in product(ANY, ((None, None), ("L", None), ("L", "C")), (False, True)):
        yield FaultQuery(is_open, 3, *place, descending)
    for is_open, severities, descending in product(ANY, (1, 2, MERGED_SEVERITIES), (False, True)):
        yield Severe(FaultQuery(is_open, 3, descending=descending), severities)
    for event_type, compartment_id, descending in product((None, *EVENT_TYPES.values()), (None, "C"), (False, True)):
        yield HistoryQuery("L", compartment_id, event_type, descending)
    for of_compartment in (False, True):
        yield from (Lasting(row_class, of_compartment) for row_class in ROW_CLASSES)


def indexes_of(query: Query) -> set[str]:
    """Return the indexes that a list must be read from. A name may list alternatives: "one|another"."""
    match query:
        case Sorted(of_lockers) | Counted(of_lockers):
            return indexes_of(replace(of_lockers, order=LockerOrder.ID))
        case LockerQuery(order=LockerOrder.LAST_EVENT):
            return {"lockers_by_last_event"}
        case LockerQuery(order=LockerOrder.ID, available=None, degraded=None):
            return {"lockers_pkey"}
        case LockerQuery(available=available, degraded=degraded, order=order):
            filling = {None: ("available", "full"), True: ("available",), False: ("full",)}[available]
            damage = {None: ("_degraded", ""), True: ("_degraded",), False: ("",)}[degraded]
            suffix = {"_degraded": "_by_count"} if order is LockerOrder.DEGRADED else {}
            return {f"{free}{worn}_lockers{suffix.get(worn, '')}" for free, worn in product(filling, damage)}
        case CompartmentQuery():
            return {"compartments_pkey", "reservations_pkey"}
        case ReservationQuery(locker_id=None, order=ReservationOrder.ID, status=None | Status.PICKED_UP):
            return {"reservations_pkey"}
        case ReservationQuery(status=status, locker_id=None):
            key = {"changed": "change", "id": "id"}[query.order]
            return {f"{one.lower()}_reservations_by_{key}" for one in ([status] if status else Status)}
        case ReservationQuery(status=status):
            final = {f"{one.lower()}_reservations_by_locker" for one in FINAL if status in (None, one)}
            return final | (set() if status in FINAL else {OF_LOCKER, "reservations_pkey"})
        case FaultQuery():
            kinds = KINDS_OF_FAULTS[query.open]
            return {f"{kind}_faults_by_{'locker' if query.locker_id else 'report'}" for kind in kinds}
        case Severe(of_faults):
            return {f"{kind}_faults_by_severity" for kind in KINDS_OF_FAULTS[of_faults.open]}
        case HistoryQuery(compartment_id=compartment_id, event_type=event_type):
            columns = HISTORY | ({CompartmentRegistered: {OF_COMPARTMENT}} if compartment_id else {})
            return columns[event_type] if event_type else set().union(*columns.values())
        case Lasting(row_class, of_compartment):
            of_class = {
                Compartment: {"compartments_by_compartment_id" if of_compartment else OF_LOCKER},
                Reservation: HISTORY[ReservationCreated],
                Fault: HISTORY[FaultReported],
            }
            return of_class[row_class]


def statement_for(query: Query | str, statements: ListingStatements) -> Prepared:
    match query:
        case LockerQuery():
            return statements.lockers(query)
        case Sorted(of_lockers):
            return statements.sorted_lockers(of_lockers)
        case Counted(of_lockers):
            return statements.locker_count(of_lockers)
        case CompartmentQuery():
            return statements.compartments(query)
        case ReservationQuery():
            return statements.reservations(query)
        case FaultQuery():
            return statements.faults(query)
        case Severe(of_faults, severities):
            return statements.faults_of_severities(of_faults, severities)
        case HistoryQuery():
            return statements.history(query)
        case Lasting(row_class, of_compartment):
            return statements.lasting(row_class, of_compartment=of_compartment)
        case name:
            statement: Prepared = getattr(statements, name)
            return statement


def sorts_rows(query: Query | str) -> bool:
    """Return whether SQLite may sort: the first rows of several indexes, or rows that are in `sorted_indexes`."""
    match query:
        case Lasting(row_class=row_class) if row_class is Fault:
            return True  # by compartment, to find the last degraded period of each
        case str() | CompartmentQuery() | Lasting():
            return bool(sorted_indexes(query))
        case ReservationQuery(locker_id="L", order=ReservationOrder.ID):
            return True
        case Severe(severities=severities) if severities > 1:
            return True
        case Sorted() | Counted():
            return True
        case _:
            return len(indexes_of(query)) > 1 or bool(sorted_indexes(query))


def sorted_indexes(query: Query | str) -> set[str]:
    """Return the indexes from which SQLite may read all rows of the subject, and sort these."""
    match query:
        case ReservationQuery(locker_id="L", status=status) if status not in FINAL:
            return {"compartments_pkey", "reservations_pkey"}  # at most one row for each compartment
        case HistoryQuery(compartment_id="C", event_type=event_type) if event_type in (None, CompartmentRegistered):
            return {"compartments_by_compartment_id"}  # one row
        case Lasting(row_class, of_compartment) if row_class is Reservation and not of_compartment:
            return {"reservations_by_creation"}  # groups the positions by compartment
        case _:
            return set()


CASES: list[tuple[Query | str, set[str]]] = [*((query, indexes_of(query)) for query in queries()), *OTHERS.items()]
each_case = pytest.mark.parametrize(("query", "indexes"), CASES, ids=[repr(query) for query, _ in CASES])

VALUES = {
    "lower": 1,
    "upper": 9,
    "lower_number": 1,
    "lower_id": "L",
    "upper_number": 9,
    "upper_id": "L",
    "page_limit": 5,
    "none_lower": "L",
    "none_upper": "L",
    "others": 5,
    "changed_from": 1,
    "changed_through": 9,
    "min_severity": 1,
    **{f"severity_{number}": number for number in range(MERGED_SEVERITIES)},
    "positions": "[1]",
    "locker_id": "L",
    "compartment_id": "C",
    "reservation_id": "R",
    "limit": 5,
    "time": 1,
    "position": 9,
    "quiet_through": 9,
    "young_through": 9,
    "gone_through": 1,
}


@pytest.fixture(scope="module", params=["ASC", "DESC"])
def embedded_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store whose indexes were created in the order of their names, or in the reverse order.

    SQLite knows no more of the tables. Of indexes that fit equally well, it chooses by the order of their creation.
    """
    path = tmp_path_factory.mktemp("plans") / "log.jsonl"
    with closing(EmbeddedStore(path, 1)) as store, closing(sqlite3.connect(projection_path(path))) as connection:
        indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name "
        for name, sql in connection.execute(indexes + request.param).fetchall():
            connection.execute(f"DROP INDEX {name}")
            connection.execute(sql)
        yield store


@pytest.fixture(scope="module", params=FILLINGS)
def database_store(request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    with new_database() as url:
        with closing(connect(url)) as connection:
            connection.execute(FILLINGS[request.param])
        with closing(PostgresStore(url)) as store:
            yield store


@each_case
def test_sqlite_reads_a_list_from_its_index(
    embedded_store: EmbeddedStore, query: Query | str, indexes: set[str]
) -> None:
    statement = statement_for(query, embedded_store._listings._statements)
    with closing(sqlite3.connect(projection_path(embedded_store.log.path))) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.bind(VALUES)).fetchall()

    steps = [step for *_, step in plan]
    assert_read_from({index for step in steps for index in sqlite_indexes(step)}, indexes)
    scan = "SCAN (lockers|compartments|reservations|faults|moments)(?! USING COVERING INDEX lockers_by_last_event)"
    assert not [step for step in steps if re.match(scan, step)]
    assert sorts_rows(query) or not [step for step in steps if "TEMP B-TREE" in step]
    assert indexes_before_sorts(plan) <= sorted_indexes(query)


def assert_read_from(found: set[str], expected: set[str]) -> None:
    """Assert that these indexes are read, and no others. An expected name may list alternatives."""
    matching = {name: {alternatives for alternatives in expected if name in alternatives.split("|")} for name in found}
    assert all(matching.values()), matching
    assert set().union(*matching.values()) == expected


def sqlite_indexes(step: str) -> Iterator[str]:
    """Yield the index that a step of a plan names, as PostgreSQL would name it."""
    for table in re.findall(r"(\w+) USING PRIMARY KEY", step):
        yield "moments_pkey" if table == "following" else f"{table}_pkey"
    for name in re.findall(r"INDEX (\w+)", step.removesuffix("VIRTUAL TABLE INDEX 1:")):
        yield re.sub(r"sqlite_autoindex_(\w+)_1", r"\1_pkey", name)


def indexes_before_sorts(plan: list[tuple[int, int, int, str]]) -> set[str]:
    """Return the indexes whose entries SQLite sorts, because their order is another one."""
    by_parent: dict[int, list[str]] = defaultdict(list)
    for _, parent, _, step in plan:
        by_parent[parent].append(step)
    sorting = [steps for steps in by_parent.values() if any("TEMP B-TREE" in step for step in steps)]
    return {index for steps in sorting for step in steps for index in sqlite_indexes(step)}


@each_case
def test_postgres_reads_a_list_from_its_index(
    database_store: PostgresStore, query: Query | str, indexes: set[str]
) -> None:
    lists = database_store._listings
    statement = statement_for(query, lists._statements)

    plan = lists._database.read_transaction(lists._beginning, partial(plan_of, statement))

    scans = [line for line in plan if "Scan" in line and "Subquery Scan" not in line and "Function Scan" not in line]
    assert_read_from({index for line in plan for index in re.findall(r"Scan.* using (\w+) on", line)}, indexes)
    assert not [line for line in plan if re.search("Seq Scan|Bitmap|Hash Join|Merge Join|Gather", line)]
    if isinstance(query, HistoryQuery):
        assert all("Index Only Scan" in line for line in scans)
    if isinstance(query, HistoryQuery | Severe):
        assert sum("Limit" in line for line in plan) >= len(scans)


def test_postgres_finds_events_in_the_index_of_their_ids(database_store: PostgresStore) -> None:
    lists = database_store._listings
    statement = events_between(*uuid_range("0190a5e0"), 20)
    plan = lists._database.read_transaction(lists._beginning, partial(plan_of, statement))
    steps = [line.split("  (")[0].strip() for line in plan]
    assert steps[:2] == ["Limit", "->  Index Scan using events_event_id_key on events"]


def test_postgres_reads_one_locker_from_the_index_of_open_faults(database_store: PostgresStore) -> None:
    """A parameter in the place of the index's condition would make it read all faults that were ever reported."""
    database = database_store._database
    beginning = [BEGIN_READING, transaction_settings(database.limits)]
    for statement in (STATEMENTS.locker, STATEMENTS.locker_state):
        plan = database.read_transaction(beginning, partial(plan_of, statement))
        assert [line for line in plan if "Index Scan using open_faults" in line]
        assert not [line for line in plan if "Seq Scan" in line]


def plan_of(statement: Prepared | Statement, _: Results, fetch: Callable[[Statement], DatabaseRows]) -> list[str]:
    return generic_plan(statement, fetch)


def generic_plan(statement: Prepared | Statement, fetch: Callable[[Statement], DatabaseRows]) -> list[str]:
    """Return the lines of a plan that PostgreSQL makes before it knows the parameters."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.text)))
    numbered = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statement.text)
    fetch(Statement(f"PREPARE listing AS {numbered}"))
    values = f"({', '.join(['NULL'] * len(names))})" if names else ""
    lines = fetch(Statement(f"EXPLAIN EXECUTE listing{values}"))
    fetch(Statement("DEALLOCATE listing"))
    return [line for (line,) in lines]
