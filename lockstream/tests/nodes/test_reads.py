"""Reads of nodes: they say what they reflect, and show nothing older than was asked for."""

import json
from pathlib import Path

from lockstream.tests.nodes.fleet import nodes
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.support.builders import LOCKER, registered
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

PATH = f"/lockers/{LOCKER}"

PATIENT = (
    "-c",
    f"from lockstream.services import lockstream; lockstream.TIMEOUT_SECONDS = {TIMEOUT_SECONDS}\n"
    "from lockstream.presentation.cli.main import main; main()",
    "serve",
)
"""A node at which a read waits for as long as the standby takes, on a machine that is slow as well."""


def take_in(server: Server, compartment: str) -> int:
    """Post an event; its position."""
    status, _, answer = server.request("POST", "/events", json.dumps(registered(compartment)).encode())
    assert status == 202
    position: int = json.loads(answer)["position"]
    return position


def look(server: Server, least: int) -> tuple[int, str]:
    """The status of a read that must reflect position `least`, and which one it does."""
    status, headers, _ = server.request("GET", PATH, headers={"Lockstream-Min-Position": str(least)})
    return status, headers.get("lockstream-position", "")


def test_each_node_shows_at_once_what_another_has_acknowledged(url: str, tmp_path: Path) -> None:
    with nodes(2, tmp_path, url) as [one, other]:
        for number in range(20):
            position = take_in(one, f"c{number}")
            status, headers, body = other.request("GET", PATH)
            assert (status, headers["lockstream-position"]) == (200, str(position))
            assert json.loads(body)["compartments"] == position


def test_a_standby_that_is_behind_says_so_where_more_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "patient").mkdir()
    with (
        Machine() as primary,
        Machine(of=primary, hot_standby="on") as standby,
        nodes(1, tmp_path, primary.url, LOCKSTREAM_READ_URL=standby.url) as [server],
        nodes(1, tmp_path / "patient", primary.url, PATIENT, LOCKSTREAM_READ_URL=standby.url) as [patient],
    ):
        position = take_in(server, "a")
        assert look(patient, position) == (200, "1"), "a read waits for the standby to follow"

        standby.execute("SELECT pg_wal_replay_pause()")
        take_in(server, "b")
        assert look(server, 1) == (200, "1")
        assert look(server, 2) == (503, "")

        standby.execute("SELECT pg_wal_replay_resume()")
        assert look(patient, 2) == (200, "2")
