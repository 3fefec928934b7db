"""Nodes that share a database share its quarantine."""

import json
from collections.abc import Iterator
from signal import SIGKILL
from typing import Any

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.builders import Body, deposited, registered, reserved
from lockstream.tests.support.processes import Server, wait_until


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


def answer(node: Server, method: str, path: str, content: Body | None = None) -> Any:
    text = b"" if content is None else json.dumps(content).encode()
    return json.loads(node.request(method, path, text, {"Content-Type": "application/json"})[2])


def entries(node: Server, locker: str) -> list[tuple[str, int]]:
    """Return id and count of each entry of a locker, the oldest first."""
    items = answer(node, "GET", f"/quarantine?locker_id={locker}&order=asc")["items"]
    return [(item["event_id"], item["count"]) for item in items]


def post(node: Server, body: Body) -> int:
    return node.post(json.dumps(body).encode())


def test_an_event_that_both_nodes_refuse_is_one_entry(nodes: list[Server]) -> None:
    first, second = nodes
    refused = deposited("r-both", locker="both")
    for node in (first, second, first):
        assert post(node, refused) == 422
    wait_until(lambda: entries(second, "both") == [(refused["event_id"], 3)])
    assert entries(first, "both") == [(refused["event_id"], 3)]


def test_an_event_that_another_node_accepts_is_gone_at_once(nodes: list[Server]) -> None:
    first, second = nodes
    refused = reserved("r-gone", locker="gone")
    assert post(first, refused) == 422
    assert entries(first, "gone") == [(refused["event_id"], 1)]
    assert [post(second, body) for body in (registered(locker="gone"), refused)] == [202, 202]
    assert entries(first, "gone") == entries(second, "gone") == []
    assert refused["event_id"] not in json.dumps(answer(first, "GET", "/quarantine")["totals"])


def test_one_node_resubmits_and_discards_what_another_has_refused(nodes: list[Server]) -> None:
    first, second = nodes
    wanted, unwanted = reserved("r-late", locker="late"), deposited("r-never", locker="late")
    assert [post(first, body) for body in (wanted, unwanted, registered(locker="late"))] == [422, 422, 202]
    assert len(entries(first, "late")) == 2  # and so they are written
    discarded = answer(second, "POST", f"/quarantine/{unwanted['event_id']}/discard", {"reason": "It never happened."})
    assert discarded["discard_reason"] == "It never happened."
    report = answer(second, "POST", "/quarantine/resubmit", {"locker_id": "late"})
    assert [item["event_id"] for item in report["items"]] == [wanted["event_id"]]
    assert report["accepted"] == 1
    assert entries(first, "late") == []


def test_a_node_that_is_killed_loses_the_last_second_at_most(nodes: list[Server]) -> None:
    first, second = nodes
    refused = deposited("r-killed", locker="killed")
    assert post(first, refused) == 422
    wait_until(lambda: entries(second, "killed") == [(refused["event_id"], 1)])
    first.stop(SIGKILL)
    assert entries(second, "killed") == [(refused["event_id"], 1)]
    first.start()
    assert entries(first, "killed") == [(refused["event_id"], 1)]
