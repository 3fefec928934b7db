"""`verify` on a database: damage by other programs, and nodes and rebuilds that go on meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Self

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.shadow_tables import rebuild
from lockstream.infrastructure.postgres.snapshot import Snapshot
from lockstream.services.commands import verify_database as module
from lockstream.services.commands.verify import Verification
from lockstream.services.commands.verify_database import verify_database
from lockstream.tests.support.builders import fault_reported, registered, reserved
from lockstream.tests.support.databases import connect, execute, ingest_into, new_database

END_OTHER_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a database with three events."""
    with new_database() as url:
        ingest_into(url, registered(), fault_reported(1), reserved())
        yield url


def verify(url: str) -> Verification:
    with closing(Database(url)) as database:
        return verify_database(database, ignore_progress)


def after_snapshot(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen after the snapshot has begun, and before its rows are compared."""

    class DisturbedSnapshot(Snapshot):
        def __enter__(self) -> Self:
            super().__enter__()
            happens()
            return self

    monkeypatch.setattr(module, "Snapshot", DisturbedSnapshot)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE compartments SET degrading_faults = 7", "differs from the log in 2 places: Compartment"),
        ("UPDATE compartments SET registered_position = 7", "differs from the log in 1 place: Compartment"),
        ("DELETE FROM faults", "differs from the log"),
        ("UPDATE lockers SET events = 7", "differs from the log in 1 place: LockerTotals locker-1"),
        ("UPDATE moments SET time = 7", "differs from the log in "),
        ("UPDATE network_totals SET available = 7", "differs from the log in 1 place: the totals of the network"),
        ("UPDATE network_totals SET position = 7", "differs from the log in 1 place: the totals of the network"),
        ("INSERT INTO network_totals VALUES (7)", "differs from the log in 1 place: the totals of the network"),
        ("DELETE FROM network_totals", "differs from the log in 1 place: the totals of the network"),
        ("UPDATE open_fault_totals SET count = 7", "differs from the log in 1 place: the numbers of open faults"),
        ("INSERT INTO open_fault_totals VALUES (1, 7, 1)", "differs from the log in 1 place: the numbers of open fau"),
        ("INSERT INTO open_fault_totals VALUES (2, 7, 0)", "differs from the log in 1 place: the numbers of open fau"),
        ("DELETE FROM open_fault_totals", "differs from the log in 1 place: the numbers of open faults"),
        ("UPDATE reservations SET status = 'LOST'", "The projection cannot be read"),
        ("DROP TABLE faults", "The projection cannot be read"),
        ('UPDATE events SET payload = \'{"compartment_id":"x"}\' WHERE position = 2', "is damaged at position 2"),
        ("UPDATE events SET recorded_at = 'never' WHERE position = 3", "is damaged at position 3"),
        ("DELETE FROM events WHERE position = 2", "is damaged at position 2"),
        ("DELETE FROM events WHERE position = 3", "differs from the log"),
    ],
)
def test_verify_reports_changes_by_another_program(url: str, damage: str, problem: str) -> None:
    before = verify(url)
    assert (before.problems, before.events, before.lockers) == ([], 3, 1)
    execute(url, damage)
    assert problem in " ".join(verify(url).problems)


def test_events_that_a_node_accepts_meanwhile_are_no_difference(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    after_snapshot(monkeypatch, lambda: ingest_into(url, registered("b"), fault_reported(3, "b")))
    found = verify(url)
    assert (found.problems, found.events) == ([], 3)


def test_verify_fails_if_a_rebuild_replaces_the_tables_meanwhile(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(url)) as database:
        after_snapshot(monkeypatch, lambda: rebuild(database, ignore_progress))
        with pytest.raises(StoreUnavailable, match=r"was rebuilt meanwhile\. Run `lockstream verify` again\."):
            verify(url)


def test_verify_fails_if_the_database_goes_away_meanwhile(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect(url)) as other:
        after_snapshot(monkeypatch, lambda: other.execute(END_OTHER_CONNECTIONS))
        with pytest.raises(StoreUnavailable, match="cannot be used now"):
            verify(url)


def test_the_progress_callback_gets_the_end_of_the_log(url: str) -> None:
    calls: list[tuple[int, int]] = []
    with closing(Database(url)) as database:
        verify_database(database, lambda reached, end: calls.append((reached, end)))
    assert calls == [(3, 3)]
