"""Four nodes on one database: under load, killed, paused, beside a rebuild, and beside nodes of another version."""

import asyncio
import json
import os
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from lockstream.infrastructure.postgres.connection import TimeLimits
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster, program_with
from lockstream.tests.nodes.history import Follower, assert_legal, read_history
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import execute
from lockstream.tests.support.processes import Server, wait_until

NODES = 4
ROUNDS = 20 if FULL else 2
EVENTS = 201
"""Events that are acknowledged at least."""

LIMITS = TimeLimits(idle_seconds=1)

type Disturb = Callable[[Clients, list[Server]], Awaitable[None]]


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Nodes that all tests here use. A node that pauses loses the write lock after a second."""
    with cluster(NODES, tmp_path_factory.mktemp("nodes"), url, [program_with(LIMITS)]) as nodes:
        yield nodes


async def leave_alone(clients: Clients, nodes: list[Server]) -> None:
    await clients.wait_for(EVENTS * ROUNDS)


async def kill(clients: Clients, nodes: list[Server]) -> None:
    for _ in range(ROUNDS):
        await clients.wait_for(random.randint(1, EVENTS))
        node = random.choice(nodes)
        node.kill()
        await asyncio.to_thread(node.start)
    await clients.wait_for(EVENTS)


async def pause(clients: Clients, nodes: list[Server]) -> None:
    """Stop nodes, mostly in the middle of a batch, until the others have taken the write lock from them."""
    for _ in range(ROUNDS):
        await clients.wait_for(random.randint(1, EVENTS))
        node = random.choice(nodes)
        os.kill(node.pid, signal.SIGSTOP)
        await clients.wait_for(EVENTS // 4)
        os.kill(node.pid, signal.SIGCONT)
    await clients.wait_for(EVENTS)


def summary_of(node: Server, locker: str) -> dict[str, Any]:
    status, body = node.get(f"/lockers/{locker}")
    assert status == 200
    summary: dict[str, Any] = json.loads(body)
    return summary


def has_readiness(node: Server, status: int) -> bool:
    return node.get("/health/ready")[0] == status


@pytest.mark.parametrize("disturb", [leave_alone, kill, pause])
def test_the_merged_history_is_legal_and_holds_every_acknowledged_event(
    disturb: Disturb, url: str, nodes: list[Server], run_command: RunCommand
) -> None:
    # when clients compete for a few lockers, whatever happens to the nodes
    with Follower(url) as follower:
        clients = post_while(nodes, lambda clients: disturb(clients, nodes))

    # then the history is legal, and became visible in order
    history = read_history(url)
    model = assert_legal(history, clients.responses)
    assert len(clients.responses.acknowledged) >= EVENTS
    assert follower.event_ids == [event["event_id"] for event in history]

    # and all nodes show what it gives
    for locker in clients.lockers:
        summaries = [summary_of(node, locker) for node in nodes]
        for shown in summaries:
            counts = shown["compartments"], shown["active_reservations"], shown["degraded_compartments"]
            assert counts == model.counts(locker)
        assert len({shown["state_hash"] for shown in summaries}) == 1
    verified = run_command("verify", DATABASE_URL=url)
    assert verified.exit_code == 0, verified.errors


def test_each_node_shows_at_once_what_another_node_has_acknowledged(nodes: list[Server]) -> None:
    first, second, *_ = nodes
    for number in range(1, 21):
        _, _, response = first.request("POST", "/events", json.dumps(registered(f"c{number}", locker="new")).encode())
        status, headers, body = second.request("GET", "/lockers/new")
        assert (status, headers["lockstream-position"]) == (200, str(json.loads(response)["position"]))
        assert json.loads(body)["compartments"] == number


def test_a_rebuild_corrects_rows_while_nodes_go_on(url: str, nodes: list[Server], run_command: RunCommand) -> None:
    # given rows that another program has changed, and a node that accepts events
    first, second, *_ = nodes
    assert first.post(json.dumps(registered(locker="changed")).encode()) == 202
    execute(url, "UPDATE compartments SET degrading_faults = 7 WHERE locker_id = 'changed'")
    assert summary_of(first, "changed")["degraded_compartments"] == 1
    stopping = threading.Event()
    statuses: list[int] = []

    def post() -> None:
        while not stopping.is_set():
            statuses.append(first.post(json.dumps(registered(f"c{len(statuses)}", locker="busy")).encode()))

    posting = threading.Thread(target=post)
    posting.start()
    try:
        # when the projection is rebuilt
        wait_until(lambda: statuses)
        rebuilt = run_command("rebuild", DATABASE_URL=url)
        during = len(statuses)
        wait_until(lambda: len(statuses) > during)
    finally:
        stopping.set()
        posting.join()

    # then the rows are right, and the node has accepted every event
    assert rebuilt.exit_code == 0, rebuilt.errors
    assert set(statuses) == {202}
    assert summary_of(second, "changed")["degraded_compartments"] == 0
    assert run_command("verify", DATABASE_URL=url).exit_code == 0


def test_a_node_is_not_ready_while_the_projection_belongs_to_another_version(url: str, nodes: list[Server]) -> None:
    node = nodes[0]
    [(own,)] = execute(url, "SELECT schema FROM progress")
    try:
        for version, status in (("another version", 503), (own, 200)):
            execute(url, f"UPDATE progress SET schema = '{version}'")
            wait_until(partial(has_readiness, node, status))
            assert (b"belongs to another version of Lockstream" in node.get("/health/ready")[1]) == (status == 503)
    finally:
        execute(url, f"UPDATE progress SET schema = '{own}'")
    assert node.post(json.dumps(registered(locker="after")).encode()) == 202
