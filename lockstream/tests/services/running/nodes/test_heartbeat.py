"""The heartbeat of a node: it notes itself until it stops, and a failure concerns nothing else."""

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest

from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.nodes.node import ListedNode, Node
from lockstream.infrastructure.postgres.nodes.store import PostgresNodes
from lockstream.services.running.nodes import heartbeat
from lockstream.services.running.nodes.heartbeat import Heartbeat
from lockstream.services.running.nodes.node_list import this_node
from lockstream.settings import Settings
from lockstream.tests.support.databases import database_url, execute
from lockstream.tests.support.processes import wait_until

__all__ = ["database_url"]

REASONS = "SELECT unavailable_reason FROM nodes"


class Reason:
    """A reason for which a node refuses events, and how often a heartbeat has asked for it."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.calls = 0

    def __call__(self) -> str | None:
        self.calls += 1
        return self.text

    def wait_for_failures(self, count: int) -> None:
        """Wait until `count` heartbeats have failed, of which each asks twice."""
        enough = self.calls + 2 * (count + 1)
        wait_until(lambda: self.calls >= enough)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "STOP_SECONDS", 60)


@pytest.fixture
def store(database_url: str) -> Iterator[PostgresNodes]:
    with closing(Database(database_url)) as database:
        yield PostgresNodes(database)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if vars(record).get("event_name") == "node_not_noted"]


def test_a_node_is_in_the_list_from_its_start_to_its_stop(store: PostgresNodes, database_url: str) -> None:
    reasons: list[str | None] = [None]
    beating = Heartbeat(store, this_node(Settings()), lambda: reasons[-1])
    assert len(beating.nodes or ()) == 1
    assert execute(database_url, REASONS) == [(None,)]
    reasons.append("The database is away.")
    wait_until(lambda: execute(database_url, REASONS) == [("The database is away.",)])
    beating.close()
    assert execute(database_url, REASONS) == []


def test_a_list_that_is_too_old_is_not_shown(
    store: PostgresNodes, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Heartbeat(store, this_node(Settings()), lambda: None)) as beating:
        # given a table that is away
        execute(database_url, "ALTER TABLE nodes RENAME TO moved")
        wait_until(lambda: beating._failures > heartbeat.REPORTED_FAILURES)
        # then the last list is shown until the other nodes may have changed
        assert len(beating.nodes or ()) == 1
        with monkeypatch.context() as later:
            later.setattr(heartbeat, "UNHEARD_SECONDS", 0)
            assert beating.nodes is None
        # and the failure was logged once, with its reason
        [message] = failures(caplog)
        assert "It accepts events all the same. Lockstream's tables are not in the database" in message
        # when the table is back, then the heartbeat goes on
        execute(database_url, "ALTER TABLE moved RENAME TO nodes; DELETE FROM nodes")
        wait_until(lambda: execute(database_url, REASONS))


def test_a_heartbeat_that_fails_with_the_whole_database_is_not_logged(
    store: PostgresNodes, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of the server has told that the database is away."""
    caplog.set_level(logging.DEBUG)
    reason = Reason("The database is away.")
    with closing(Heartbeat(store, this_node(Settings()), reason)):
        execute(database_url, "ALTER TABLE nodes RENAME TO moved")
        reason.wait_for_failures(heartbeat.REPORTED_FAILURES + 1)
        execute(database_url, "ALTER TABLE moved RENAME TO nodes; DELETE FROM nodes")
        wait_until(lambda: execute(database_url, REASONS))
    assert failures(caplog) == []


def test_a_heartbeat_that_fails_beyond_an_outage_of_the_database_is_logged_once(
    store: PostgresNodes, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason = Reason("The database is away.")
    with closing(Heartbeat(store, this_node(Settings()), reason)):
        # given heartbeats that fail with the whole database
        execute(database_url, "ALTER TABLE nodes RENAME TO moved")
        reason.wait_for_failures(5)
        assert failures(caplog) == []
        # when the database is back, and heartbeats still fail, then that is logged once
        reason.text = None
        wait_until(lambda: failures(caplog))
        reason.wait_for_failures(heartbeat.REPORTED_FAILURES + 1)
    assert len(failures(caplog)) == 1


def test_the_first_list_after_a_failure_is_not_shown(
    store: PostgresNodes, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other nodes could not note themselves either, so they would look lost."""
    for name in ("HEARTBEAT_SECONDS", "UNHEARD_SECONDS"):
        monkeypatch.setattr(heartbeat, name, 600)  # this test calls each heartbeat itself

    def heard() -> list[bool]:
        return [one.is_heard for one in beating.nodes or ()]

    node, other = this_node(Settings(port=8000)), this_node(Settings(port=9000))
    with closing(Database(database_url)) as database, closing(PostgresNodes(database)) as others:
        others.note(other, 0.0, None)
        with closing(Heartbeat(store, node, lambda: None)) as beating:
            assert heard() == [True, True]
            # given an outage, during which no node noted itself
            execute(database_url, "ALTER TABLE nodes RENAME TO moved")
            beating._beat()
            execute(database_url, "ALTER TABLE moved RENAME TO nodes")
            execute(database_url, "UPDATE nodes SET heard_at = heard_at - interval '1 minute'")
            # when this node is the first that notes itself again, then the list of before is still shown
            beating._beat()
            assert heard() == [True, True]
            # and the next list is shown as it is
            beating._beat()
            assert heard() == [True, False]


def test_an_internal_error_does_not_end_the_heartbeat(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    class FaultyNodes(PostgresNodes):
        is_faulty = True

        def note(self, node: Node, running_seconds: float, unavailable_reason: str | None) -> list[ListedNode]:
            if self.is_faulty:
                raise ValueError("a fault of Lockstream")
            return super().note(node, running_seconds, unavailable_reason)

    with closing(Database(database_url)) as database:
        store = FaultyNodes(database)
        with closing(Heartbeat(store, this_node(Settings()), lambda: None)) as beating:
            assert beating.nodes is None
            wait_until(lambda: failures(caplog))
            [record] = [one for one in caplog.records if vars(one).get("event_name") == "node_not_noted"]
            assert record.exc_info
            store.is_faulty = False
            wait_until(lambda: beating.nodes)


def test_the_name_of_a_node_stays_the_same_and_its_id_does_not() -> None:
    settings = Settings(port=9000)
    one, other = this_node(settings), this_node(settings)
    assert one.name == other.name
    assert one.name.endswith(":9000")
    assert one.node_id != other.node_id
    assert this_node(Settings.model_validate({"unix_socket": "/run/a.sock"})).name.endswith(":/run/a.sock")
