"""The feed of one node shows the events of all nodes, each once and in the same order."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL
from typing import Any

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.builders import as_lines, registered
from lockstream.tests.support.processes import Server


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


def page(node: Server, query: str) -> Any:
    status, body = node.get(f"/events?{query}")
    assert status == 200, body
    return json.loads(body)


def post(node: Server, locker: str, count: int) -> None:
    bodies = [registered(str(number), locker=locker) for number in range(count)]
    status, _, _ = node.request("POST", "/events/batch", as_lines(*bodies), {"Content-Type": "application/x-ndjson"})
    assert status == 200


def follow(node: Server, through: int, query: str = "") -> list[Any]:
    """Read the feed of a node from the beginning to a position."""
    after, found = 0, list[Any]()
    while after < through:
        read = page(node, f"after={after}&limit=70&wait=30{query}")
        found, after = found + read["items"], read["through"]
    return found


def test_a_reader_that_waits_at_one_node_gets_the_event_of_another_node(nodes: list[Server]) -> None:
    first, second = nodes
    for number in range(5):
        head = page(second, "after=head")["head"]
        with ThreadPoolExecutor(1) as pool:
            # given a reader that waits at the second node
            waiting = pool.submit(page, second, f"after={head}&wait=30")
            # when the first node accepts an event, then the reader gets it
            post(first, f"waited-for-{number}", 1)
            read = waiting.result()
        assert [item["locker_id"] for item in read["items"]] == [f"waited-for-{number}"]
        assert read["through"] == head + 1


def test_both_nodes_show_all_events_once_and_in_order_while_both_write(nodes: list[Server]) -> None:
    before = page(nodes[0], "after=head")["head"]
    with ThreadPoolExecutor(5) as pool:
        writing = [pool.submit(post, node, f"of-{number}", 300) for number, node in enumerate(nodes)]
        whole = [pool.submit(follow, node, before + 600) for node in nodes]
        part = pool.submit(follow, nodes[0], before + 600, "&partition=1/2")
        for one in writing:
            one.result()
    first, second = (one.result() for one in whole)
    assert first == second
    assert [item["position"] for item in first] == list(range(1, before + 601))
    other = follow(nodes[1], before + 600, "&partition=0/2")
    assert sorted(part.result() + other, key=lambda item: item["position"]) == first


def test_a_reader_goes_on_at_another_node_after_its_node_was_killed(nodes: list[Server]) -> None:
    first, second = nodes
    post(first, "before", 150)
    head = page(first, "after=head")["head"]
    read = page(first, f"after={head - 150}&limit=60")
    first.stop(SIGKILL)
    rest = page(second, f"after={read['through']}&limit=200")
    assert [item["position"] for item in [*read["items"], *rest["items"]]] == list(range(head - 149, head + 1))
    assert rest["log"] == read["log"]
    first.start()
