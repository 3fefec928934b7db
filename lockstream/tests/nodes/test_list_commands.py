"""`lockstream lockers`, `reservations` and `faults` beside running nodes: the same items as the lists of a node."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from lockstream.presentation.cli import list_commands
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.builders import Body, as_array, fault_cleared, fault_reported, registered
from lockstream.tests.support.commands import CommandResult, RunCommand, items
from lockstream.tests.support.histories import history
from lockstream.tests.support.modelled_reads import LISTS, UNKNOWN, without_silence
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server
from lockstream.tests.support.read_audit import ALL, Replay

_READS = {read.path: read for read in LISTS}

LISTED = {
    "lockers": _READS["/lockers"],
    "reservations": _READS["/reservations"],
    "faults --open --oldest-first": _READS["/faults?open=true&order=asc"],
}
"""The read over HTTP that shows the same list, by the arguments of the command."""

ROUNDS = 5


def batches() -> list[list[Body]]:
    """Return the events of three lockers with the same history, and of one whose id looks like a formula."""
    severe = fault_reported(9, locker="=cmd")
    formula = [
        registered(locker="=cmd"),
        severe,
        fault_reported(1, locker="=cmd"),
        fault_cleared(severe, locker="=cmd"),
    ]
    return [history("locker-1"), history("locker-2"), history("locker-3"), formula]


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two nodes. The first one has accepted the events."""
    headers = {"content-type": "application/json"}
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        for batch in batches():
            _, _, response = nodes[0].request("POST", "/events/batch", as_array(*batch), headers)
            assert {item["status"] for item in json.loads(response)} == {202}
        yield nodes


def shown(node: Server, path: str) -> tuple[list[dict[str, Any]], int]:
    """Return the items of a list over HTTP, and its position."""
    status, headers, body = node.request("GET", path)
    assert status == 200, body
    return json.loads(body)["items"], int(headers["lockstream-position"])


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ("lockers", "/lockers?limit=1000"),
        ("lockers --prefix locker-", "/lockers?q=locker-"),
        ("lockers --degraded --limit 2", "/lockers?degraded=true&limit=2"),
        ("lockers --no-available", "/lockers?available=false"),
        ("lockers --sort last_event", "/lockers?sort=last_event"),
        ("lockers --sort degraded --highest-first", "/lockers?sort=degraded&order=desc"),
        ("lockers --sort available --prefix locker-", "/lockers?sort=available&q=locker-"),
        ("reservations", "/reservations?limit=1000"),
        ("reservations --newest-first --locker locker-2", "/reservations?order=desc&locker_id=locker-2"),
        ("reservations --status PICKED_UP", "/reservations?status=PICKED_UP&limit=1000"),
        ("reservations --changed-before {time}", "/reservations?changed_before={time}"),
        ("reservations --changed-after {time}", "/reservations?changed_after={time}&limit=1000"),
        ("faults", "/faults?limit=1000"),
        ("faults --open --oldest-first", "/faults?open=true&order=asc&limit=1000"),
        ("faults --cleared --min-severity 9 --locker =cmd", "/faults?open=false&min_severity=9&locker_id=%3Dcmd"),
    ],
)
def test_a_command_lists_what_a_node_shows(
    arguments: str,
    path: str,
    url: str,
    nodes: list[Server],
    run_command: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a list of the node that has not accepted the events itself
    [reservation], _ = shown(nodes[1], "/reservations?locker_id=locker-2&limit=1")
    time = reservation["changed_at"]
    wanted, position = shown(nodes[1], path.format(time=time))
    assert wanted
    # then a command prints its items, whatever the size of its pages, and names its position
    words = arguments.format(time=time).split()
    assert items(run_command, *words, DATABASE_URL=url) == wanted
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 2)
    assert items(run_command, *words, DATABASE_URL=url) == wanted
    table = run_command(*words, DATABASE_URL=url)
    assert len(table.output.splitlines()) == 1 + len(wanted)
    assert f"As of position {position}." in table.errors


def test_a_command_lists_one_state_while_nodes_accept_events(
    url: str, nodes: list[Server], run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given commands that read two rows at a time, and clients that post to both nodes
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 2)
    are_done = threading.Event()
    printed: list[tuple[str, CommandResult]] = []
    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(post_while, nodes, partial(wait_for_events, are_done))
        try:
            # when each list is printed, again and again
            for arguments in [*LISTED] * ROUNDS:
                result = run_command(*arguments.split(), "--format", "json", DATABASE_URL=url)
                printed.append((arguments, result))
        finally:
            are_done.set()
        assert posting.result().responses.acknowledged
    # then each is the list that the log gives at the position that it names
    exported = run_command("export", "--full", DATABASE_URL=url).output
    replay, positions = Replay([json.loads(line) for line in exported.splitlines()]), set[int]()
    for arguments, result in printed:  # in the order of their positions
        position = position_of(result)
        found = [json.loads(line) for line in result.output.splitlines()]
        listed = without_silence({"items": found})["items"]
        assert listed == LISTED[arguments].body(replay.at(position), UNKNOWN, None, ALL)["items"]
        positions.add(position)
    assert len(positions) > 1


def position_of(result: CommandResult) -> int:
    """Return the position that a command names beside its list."""
    named = re.search(r"As of position (\d+)\.", result.errors)
    assert named is not None, result.errors
    return int(named[1])


async def wait_for_events(are_done: threading.Event, clients: Clients) -> None:
    """Wait until the clients have had an event accepted, and the commands are done."""
    await clients.wait_for(1)
    await asyncio.to_thread(are_done.wait, TIMEOUT_SECONDS)
