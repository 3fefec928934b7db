"""A node that reads from a standby, which may lag behind."""

import json
from pathlib import Path

from lockstream.tests.nodes.cluster import cluster, program_with
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import SERVE, TIMEOUT_SECONDS, Server


def post(node: Server, compartment: str) -> int:
    """Post an event, and return its position."""
    status, _, body = node.request("POST", "/events", json.dumps(registered(compartment)).encode())
    assert status == 202
    position: int = json.loads(body)["position"]
    return position


def read(node: Server, min_position: int) -> set[tuple[int, str]]:
    """Read a locker and lists with a min position. Return the statuses, and the positions that these reads reflect."""
    results = set()
    for path in (f"/lockers/{LOCKER}", "/lockers", "/network", f"/lockers/{LOCKER}/events"):
        status, headers, _ = node.request("GET", path, headers={"Lockstream-Min-Position": str(min_position)})
        results.add((status, headers.get("lockstream-position", "")))
    return results


def past_state(node: Server, at: int, min_position: int = 0) -> tuple[int, int | None]:
    """Read a locker as it was. Return the status, and the number of its compartments."""
    headers = {"Lockstream-Min-Position": str(min_position)}
    status, found, body = node.request("GET", f"/lockers/{LOCKER}?at={at}", headers=headers)
    assert found.get("lockstream-position") == (str(at) if status == 200 else None)
    return status, json.loads(body).get("compartments")


def test_the_feed_of_a_standby_asks_a_reader_that_is_ahead_to_come_again(tmp_path: Path) -> None:
    with (
        PostgresServer() as primary,
        PostgresServer(primary, hot_standby="on") as standby,
        cluster(1, tmp_path, primary.url, LOCKSTREAM_READ_URL=standby.url) as [node],
    ):
        # given a standby that lacks an event of the primary
        post(node, "a")
        assert json.loads(node.get("/events?after=0&wait=30")[1])["through"] == 1
        standby.execute("SELECT pg_wal_replay_pause()")
        post(node, "b")
        # when a reader has read it elsewhere, then it is asked to come again, and a reader beyond it is refused
        assert node.get("/events?after=1")[0] == 200
        assert node.get("/events?after=2")[0] == 503
        assert node.get("/events?after=3")[0] == 409
        # when the standby follows again, then a waiting reader gets the event
        standby.execute("SELECT pg_wal_replay_resume()")
        assert json.loads(node.get("/events?after=1&wait=30")[1])["through"] == 2


def test_reads_from_a_standby_wait_for_their_min_position_and_then_get_503(tmp_path: Path) -> None:
    programs = [SERVE, program_with(min_position_seconds=TIMEOUT_SECONDS)]  # the standby may be slow to follow
    with (
        PostgresServer() as primary,
        PostgresServer(primary, hot_standby="on") as standby,
        cluster(2, tmp_path, primary.url, programs, LOCKSTREAM_READ_URL=standby.url) as [node, patient],
    ):
        position = post(node, "a")
        assert read(patient, position) == {(200, "1")}

        standby.execute("SELECT pg_wal_replay_pause()")
        post(node, "b")
        assert read(node, 1) == {(200, "1")}
        assert read(node, 2) == {(503, "")}

        # a past state is read from the standby as well
        assert past_state(node, at=1, min_position=1) == (200, 1)
        assert past_state(node, at=1, min_position=2) == (503, None)
        assert past_state(node, at=2) == (503, None)  # the primary has this position
        assert past_state(node, at=3) == (422, None)

        standby.execute("SELECT pg_wal_replay_resume()")
        assert past_state(patient, at=2, min_position=2) == (200, 2)
        assert past_state(patient, at=1, min_position=2) == (200, 1)
        assert read(patient, 2) == {(200, "2")}
