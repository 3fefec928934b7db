"""Lists, states and events that one node shows while another one accepts events."""

import json
from collections.abc import Iterator
from signal import SIGTERM
from typing import Any

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.builders import (
    Body,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.processes import Server

LOCKER = "station"


@pytest.fixture(scope="module")
def nodes(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(2, tmp_path_factory.mktemp("nodes"), url) as nodes:
        yield nodes


def post(node: Server, *bodies: Body) -> None:
    for body in bodies:
        assert node.post(json.dumps(body).encode()) == 202


def accepted(node: Server, body: Body) -> int:
    """Post an event, and return its position."""
    status, _, answer = node.request("POST", "/events", json.dumps(body).encode())
    assert status == 202, answer
    position: int = json.loads(answer)["position"]
    return position


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


def test_a_history_and_a_past_state_of_one_node_show_what_another_node_has_acknowledged(nodes: list[Server]) -> None:
    # given a story that two nodes accept in turns, and the states that they show after each event
    locker = "two-nodes"
    states = f"/lockers/{locker}", f"/lockers/{locker}/state", f"/lockers/{locker}/compartments/door"
    fault = fault_reported(3, "door", locker=locker)
    story = [
        registered("door", locker=locker),
        *(reserved("in-turns", "door", locker=locker), deposited("in-turns", locker=locker), fault),
        *(picked_up("in-turns", locker=locker), fault_cleared(fault, "door", locker=locker)),
    ]
    served: list[tuple[int, str, Any]] = []
    for number, body in enumerate(story):
        writer, reader = nodes[number % 2], nodes[1 - number % 2]
        position = accepted(writer, body)
        # when the other node is asked at once, then its history ends with the event, and its past is the present
        assert shown(reader, f"/lockers/{locker}/events?order=desc&limit=1")["items"][0]["position"] == position
        for path in states:
            present = shown(reader, path)
            assert shown(reader, f"{path}?at={position}") == present
            served.append((position, path, present))
    # then both nodes show the same history, and each past state as it was served
    whole = [shown(node, f"/lockers/{locker}/compartments/door/events") for node in nodes]
    assert whole[0] == whole[1]
    assert [item["event_id"] for item in whole[0]["items"]] == [body["event_id"] for body in story]
    for position, path, state in served:
        time = next(item["recorded_at"] for item in whole[0]["items"] if item["position"] == position)
        for node in nodes:
            assert shown(node, f"{path}?at={position}") == shown(node, f"{path}?at={time}") == state
    assert [step["status"] for step in shown(nodes[0], f"/reservations/in-turns/state?at={served[6][0]}")["steps"]] == [
        *("CREATED", "DEPOSITED")
    ]


def test_a_page_token_of_one_node_leads_to_the_next_page_of_another_also_after_a_restart(nodes: list[Server]) -> None:
    first, second = nodes
    post(first, *(registered(f"c{number}", locker="pages") for number in range(5)))
    path = "/lockers/pages/events?order=desc&limit=2"
    token = shown(first, path)["next"]
    page = shown(second, f"{path}&after={token}")
    assert second.stop(SIGTERM) == 0
    second.start()
    assert shown(second, f"{path}&after={token}") == page
    names = [item["payload"]["compartment_id"] for item in page["items"]]
    assert (names, page["next"] is None) == (["c2", "c1"], False)


def test_a_position_that_no_node_has_reached_gets_422(nodes: list[Server]) -> None:
    newest = accepted(nodes[0], registered("only", locker="newest"))
    for node in nodes:
        status, body = node.get(f"/lockers/newest?at={newest + 1}")
        assert (status, f"The newest position is {newest}, " in json.loads(body)["detail"]) == (422, True)
        status, body = node.get("/lockers/newest?at=2000-01-01T00:00:00Z")
        assert (status, "at position 0" in json.loads(body)["detail"]) == (404, True)


@pytest.mark.parametrize("impossible", ["%00", "%FF", "x" * 129])
def test_an_id_that_no_subject_can_have_gets_404(nodes: list[Server], impossible: str) -> None:
    locker, reservation = f"/lockers/{impossible}", f"/reservations/{impossible}"
    for path in (
        *(locker, f"{locker}/state", f"{locker}/compartments", f"{locker}/compartments/{impossible}"),
        *(reservation, f"{reservation}/state", f"{reservation}/events", f"{locker}/events"),
        *(f"{locker}/compartments/{impossible}/events", f"{locker}/state?at=0", f"{reservation}/state?at=0"),
    ):
        assert nodes[0].get(path)[0] == 404, path


def test_the_activity_of_one_node_has_the_events_of_another(nodes: list[Server]) -> None:
    first, second = nodes
    for number in range(3):
        post(first, registered(f"busy-{number}", locker=LOCKER))
        events = shown(first, "/network")["position"]
        for span in ("hour", "day"):
            found = shown(second, f"/network/activity?span={span}")
            assert sum(item["events"] for item in found["items"]) == events
