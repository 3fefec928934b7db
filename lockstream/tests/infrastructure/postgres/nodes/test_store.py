"""The list of nodes as a table: heartbeats, nodes that are not heard, and whatever may hold up a heartbeat."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.postgres.connection import Database
from lockstream.infrastructure.postgres.nodes.node import ListedNode, Node
from lockstream.infrastructure.postgres.nodes.store import PostgresNodes
from lockstream.infrastructure.postgres.statements import TAKE_WRITE_LOCK
from lockstream.tests.support.builders import registered
from lockstream.tests.support.databases import connect, execute, ingest_into
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import wait_until

SECOND = 1_000_000
"""Microseconds of a second."""

END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'lockstream' AND datname = current_database()"
)


def new_node(name: str = "host-1:8000") -> Node:
    return Node(str(uuid4()), name, 4711, "2.0.0")


@contextmanager
def opened(url: str) -> Iterator[PostgresNodes]:
    with closing(Database(url)) as database, closing(PostgresNodes(database)) as nodes:
        yield nodes


@pytest.fixture
def nodes(database_url: str) -> Iterator[PostgresNodes]:
    with opened(database_url) as nodes:
        yield nodes


@pytest.fixture
def set_back(database_url: str) -> Callable[[Node, str], object]:
    """A function that moves the last heartbeat of a node into the past by an interval."""

    def move(node: Node, interval: str) -> object:
        return execute(
            database_url,
            f"UPDATE nodes SET heard_at = heard_at - interval '{interval}' WHERE node_id = '{node.node_id}'",
        )

    return move


def names(listed: list[ListedNode]) -> list[str]:
    return [one.node.name for one in listed]


def test_a_heartbeat_says_how_a_node_is(nodes: PostgresNodes, database_url: str) -> None:
    # given a log of two events
    ingest_into(database_url, registered("a"), registered("b"))
    node = new_node()
    # when a node that has run for a minute notes itself
    [first] = nodes.note(node, 60.0, "The database is being upgraded.")
    # then the list has it, with its start by the clock of the database
    assert (first.node, first.position, first.is_heard) == (node, 2, True)
    assert first.unavailable_reason == "The database is being upgraded."
    assert first.heard_at - first.started_at == 60 * SECOND
    # and its next heartbeat changes what may have changed
    ingest_into(database_url, registered("c"))
    [second] = nodes.note(node, 65.0, None)
    assert (second.node, second.position, second.unavailable_reason) == (node, 3, None)
    assert second.started_at == first.started_at
    assert second.heard_at > first.heard_at


def test_all_nodes_are_listed_by_name_until_they_stop(nodes: PostgresNodes, database_url: str) -> None:
    later, earlier = new_node("host-2:8000"), new_node("host-1:9000")
    with opened(database_url) as others:
        assert names(others.note(later, 0.0, None)) == ["host-2:8000"]
        assert names(nodes.note(earlier, 0.0, None)) == ["host-1:9000", "host-2:8000"]
        others.remove(later.node_id)
        assert names(nodes.note(earlier, 0.0, None)) == ["host-1:9000"]


@pytest.mark.parametrize("interval", ["15 seconds", "23 hours", "-16 minutes"])
def test_a_node_without_a_recent_heartbeat_is_not_heard(
    interval: str, nodes: PostgresNodes, set_back: Callable[[Node, str], object]
) -> None:
    """A time in the future is of a database whose clock was wrong, and which was replaced by this one."""
    one, other = new_node("host-1:8000"), new_node("host-2:8000")
    nodes.note(one, 0.0, None)
    set_back(one, interval)
    assert [(found.node, found.is_heard) for found in nodes.note(other, 0.0, None)] == [(one, False), (other, True)]
    # and it is heard again, once it goes on
    assert [found.is_heard for found in nodes.note(one, 0.0, None)] == [True, True]


@pytest.mark.parametrize("interval", ["25 hours", "400 days", "-25 hours"])
def test_a_node_that_was_not_heard_for_a_day_leaves_the_list(
    interval: str, nodes: PostgresNodes, set_back: Callable[[Node, str], object]
) -> None:
    one, other = new_node("host-1:8000"), new_node("host-2:8000")
    nodes.note(one, 0.0, None)
    set_back(one, interval)
    assert names(nodes.note(other, 0.0, None)) == ["host-2:8000"]
    # and a machine that wakes up after days is listed again, with its start
    [back, _] = nodes.note(one, 86_400.0, None)
    assert back.heard_at - back.started_at == 86_400 * SECOND


def test_a_node_takes_the_place_of_its_former_process(
    nodes: PostgresNodes, set_back: Callable[[Node, str], object]
) -> None:
    # given a node, another one, and a new process with the name of the first
    former, other, restarted = new_node("host-1:8000"), new_node("host-2:8000"), new_node("host-1:8000")
    for node in (former, other):
        nodes.note(node, 0.0, None)
    # when the first is still heard, then two nodes may have the same name
    assert names(nodes.note(restarted, 0.0, None)) == ["host-1:8000", "host-1:8000", "host-2:8000"]
    # when it is not, then it has left the list, and no other node has
    for node in (former, other):
        set_back(node, "15 seconds")
    found = nodes.note(restarted, 0.0, None)
    assert [(one.node, one.is_heard) for one in found] == [(restarted, True), (other, False)]


def test_a_former_process_is_not_listed_though_the_new_one_has_not_deleted_it_yet(
    nodes: PostgresNodes, set_back: Callable[[Node, str], object]
) -> None:
    # given a node that was killed and started again, and whose former process has just become unheard
    former, other, restarted = new_node("host-1:8000"), new_node("host-2:8000"), new_node("host-1:8000")
    for node in (former, restarted):
        nodes.note(node, 0.0, None)
    set_back(former, "15 seconds")
    # when another node is the next to read the list, then the former process is not in it
    assert [(one.node, one.is_heard) for one in nodes.note(other, 0.0, None)] == [(restarted, True), (other, True)]


def test_a_node_does_not_hide_the_loss_of_another_one_of_the_same_name(
    nodes: PostgresNodes, set_back: Callable[[Node, str], object]
) -> None:
    """Workers of one server and cloned machines have the same name."""
    # given two nodes of the same name that have run for a minute, and another one
    lost, twin, other = new_node("host-1:8000"), new_node("host-1:8000"), new_node("host-2:8000")
    for node in (lost, twin):
        nodes.note(node, 60.0, None)
    # when one of them is lost, then each node lists it as not heard
    set_back(lost, "20 seconds")
    for node, running_seconds in ((twin, 60.0), (other, 0.0)):
        states = {one.node: one.is_heard for one in nodes.note(node, running_seconds, None)}
        assert (states[lost], states[twin]) == (False, True)
    # and a new process of the name takes its place
    restarted = new_node("host-1:8000")
    found = nodes.note(restarted, 0.0, None)
    assert {one.node for one in found} == {twin, other, restarted}


def test_a_heartbeat_waits_for_no_batch_and_gives_up_on_a_locked_row(nodes: PostgresNodes, database_url: str) -> None:
    node = new_node()
    with closing(connect(database_url)) as other:
        # given a batch that holds the write lock, and has written
        other.execute("BEGIN")
        other.execute(TAKE_WRITE_LOCK.text)
        other.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
        # when a node notes itself, then it does not wait
        assert names(nodes.note(node, 0.0, None)) == [node.name]
        # and a batch waits for no heartbeat, whatever holds its row
        other.execute("LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            nodes.note(node, 0.0, None)
        other.execute("COMMIT")
    assert names(nodes.note(node, 0.0, None)) == [node.name]


def test_a_heartbeat_leaves_alone_a_row_that_another_transaction_holds(
    nodes: PostgresNodes, set_back: Callable[[Node, str], object], database_url: str
) -> None:
    """Two machines that wake up after days would otherwise wait for each other's row."""
    one, other = new_node("host-1:8000"), new_node("host-2:8000")
    nodes.note(one, 0.0, None)
    set_back(one, "2 days")
    with closing(connect(database_url)) as holding:
        holding.execute("BEGIN")
        holding.execute("SELECT 1 FROM nodes FOR UPDATE")
        assert names(nodes.note(other, 0.0, None)) == ["host-1:8000", "host-2:8000"]
        holding.execute("COMMIT")
    assert names(nodes.note(other, 0.0, None)) == ["host-2:8000"]


def test_a_connection_that_was_lost_meanwhile_costs_no_heartbeat(nodes: PostgresNodes, database_url: str) -> None:
    node = new_node()
    nodes.note(node, 0.0, None)
    execute(database_url, END_CONNECTIONS)
    assert names(nodes.note(node, 0.0, None)) == [node.name]
    execute(database_url, END_CONNECTIONS)
    nodes.remove(node.node_id)
    assert execute(database_url, "SELECT count(*) FROM nodes") == [(0,)]


def test_a_database_without_the_table_is_unavailable_for_heartbeats_alone(
    nodes: PostgresNodes, database_url: str
) -> None:
    execute(database_url, "ALTER TABLE nodes RENAME TO moved")
    with pytest.raises(StoreUnavailable):
        nodes.note(new_node(), 0.0, None)
    execute(database_url, "ALTER TABLE moved RENAME TO nodes")
    assert len(nodes.note(new_node(), 0.0, None)) == 1


def test_a_heartbeat_waits_for_no_standby_and_follows_a_failover() -> None:
    with PostgresServer() as primary, PostgresServer(primary, hot_standby="on") as standby:
        ingest_into(primary.url, registered())
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        one, other = new_node("host-1:8000"), new_node("host-2:8000")
        with opened(f"postgresql+psycopg://postgres@{hosts}/postgres") as nodes, opened(standby.url) as reading:
            # given commits that wait for a standby which does not exist
            primary.require_standby("nobody")
            # when a node notes itself, then it does not wait, and the standby gets its row
            assert names(nodes.note(one, 0.0, None)) == [one.name]
            wait_until(lambda: standby.execute("SELECT name FROM nodes") == [(one.name,)])
            # and a standby cannot be written
            with pytest.raises(StoreUnavailable, match="during recovery"):
                reading.note(other, 0.0, None)
            # when the standby takes the place of the primary, then the list goes on there
            primary.kill()
            with pytest.raises(StoreUnavailable):
                nodes.note(one, 5.0, None)
            standby.promote()
            wait_until(lambda: standby.execute("SELECT pg_is_in_recovery()") == [(False,)])
            assert names(nodes.note(one, 10.0, None)) == [one.name]
            assert names(reading.note(other, 0.0, None)) == [one.name, other.name]
