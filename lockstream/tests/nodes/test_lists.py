"""Lists, states and events that one node shows while another one accepts events."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.builders import Body, deposited, fault_reported, registered, reserved
from lockstream.tests.support.processes import Server

LOCKER = "station"


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


def post(node: Server, *bodies: Body) -> None:
    for body in bodies:
        assert node.post(json.dumps(body).encode()) == 202


def shown(node: Server, path: str) -> Any:
    status, body = node.get(path)
    assert status == 200, body
    return json.loads(body)


def test_a_list_of_one_node_shows_what_another_node_has_acknowledged(nodes: list[Server]) -> None:
    first, second = nodes
    for number in range(20):
        post(first, registered(f"c{number:02}", locker=LOCKER))
        found = shown(second, f"/lockers/{LOCKER}/compartments?status=available")["items"]
        assert [item["compartment_id"] for item in found] == [f"c{one:02}" for one in range(number + 1)]
        assert shown(second, "/network")["compartments"] == number + 1


def test_every_kind_of_list_state_and_event_is_shown(nodes: list[Server]) -> None:
    first, second = nodes
    fault = fault_reported(4, "broken", locker="other")
    story = [reserved("parcel", "kept", locker="other"), deposited("parcel", locker="other")]
    post(first, registered("kept", locker="other"), registered("broken", locker="other"), *story, fault)
    assert [item["locker_id"] for item in shown(second, "/lockers?degraded=true")["items"]] == ["other"]
    assert [item["reservation_id"] for item in shown(second, "/reservations?status=DEPOSITED")["items"]] == ["parcel"]
    assert [item["fault_id"] for item in shown(second, "/faults?open=true&locker_id=other")["items"]] == [
        fault["event_id"]
    ]
    assert shown(second, "/search?q=par")["reservations"] == ["parcel"]
    state = shown(second, "/lockers/other/state")
    assert [(one["compartment_id"], one["status"]) for one in state["compartments"]] == [
        ("broken", "degraded"),
        ("kept", "occupied"),
    ]
    events = shown(second, "/reservations/parcel/events")["items"]
    assert [one["event_id"] for one in events] == [body["event_id"] for body in story]
    assert shown(second, f"/events/{fault['event_id']}")["payload"] == fault["payload"]
    assert second.get("/events/unknown")[0] == 404


@pytest.mark.parametrize("impossible", ["%00", "%FF", "x" * 129])
def test_an_id_that_no_subject_can_have_gets_404(nodes: list[Server], impossible: str) -> None:
    locker, reservation = f"/lockers/{impossible}", f"/reservations/{impossible}"
    for path in (
        *(locker, f"{locker}/state", f"{locker}/compartments", f"{locker}/compartments/{impossible}"),
        *(reservation, f"{reservation}/state", f"{reservation}/events"),
    ):
        assert nodes[0].get(path)[0] == 404, path
