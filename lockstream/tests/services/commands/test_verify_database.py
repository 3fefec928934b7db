"""The projection in a database is checked while nodes, and those who rebuild it, go on."""

from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import Connection

from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.shadow_tables import rebuild
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services import database_verification
from lockstream.services.commands.verify import Verification, differing_rows
from lockstream.settings import Settings
from lockstream.tests.support.builders import event, fault_reported, registered
from lockstream.tests.support.databases import connect

END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> {}"


def take_in(url: str, place: str) -> None:
    with closing(PostgresStore(url)) as store:
        ingest([event(registered(place)), event(fault_reported(3, place))], store.unit_of_work())


def verify(url: str) -> Verification:
    return database_verification.verify_log(Settings.model_validate({"DATABASE_URL": url}), lambda reached: None)


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have something happen when the moment has been taken, and before rows are compared."""

    def compared(connection: Connection, *rest: object) -> object:
        happens()
        return differing_rows(connection, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(database_verification, "differing_rows", compared)


def test_events_that_come_in_meanwhile_are_no_difference(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(url, "a")
    meanwhile(monkeypatch, lambda: take_in(url, "b"))
    found = verify(url)
    assert (found.problems, found.events) == ([], 2)


def test_a_rebuild_meanwhile_is_not_taken_for_damage(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(url, "a")
    with closing(Database(url)) as database:
        meanwhile(monkeypatch, lambda: rebuild(database, ignore_progress))
        with pytest.raises(StoreUnavailable, match="made anew meanwhile"):
            verify(url)


def test_a_database_that_goes_away_meanwhile_is_said_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(url, "a")
    with closing(connect(url)) as other:
        meanwhile(monkeypatch, lambda: other.execute(END_OTHERS.format(other.info.backend_pid)))
        with pytest.raises(StoreUnavailable, match="cannot be used now"):
            verify(url)
