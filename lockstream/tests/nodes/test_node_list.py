"""The list of nodes: nodes that are killed, stopped, paused or upgraded, and a database that is away."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lockstream import __version__
from lockstream.tests.nodes.cluster import cluster, program_with_fast_heartbeats
from lockstream.tests.presentation.console.calling import Document
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import execute
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import Server, wait_until

READY, NOT_READY, NOT_HEARD = "ready", "not_ready", "not_heard"

PROGRAM = program_with_fast_heartbeats()


def system(node: Server) -> dict[str, Any]:
    status, body = node.get("/system")
    assert status == 200, body
    shown: dict[str, Any] = json.loads(body)
    return shown


def nodes(node: Server) -> list[dict[str, Any]]:
    """Return the list of nodes that a node shows, once it can be read."""
    shown: list[dict[str, Any]] = []

    def can_be_read() -> bool:
        shown[:] = system(node)["nodes"] or ()
        return bool(shown)

    wait_until(can_be_read)
    return shown


def states(node: Server) -> dict[int, str]:
    """Return the state of each node in the list of a node, by process id. Empty: the list cannot be read."""
    return {one["process_id"]: one["state"] for one in system(node)["nodes"] or ()}


def problems(node: Server) -> list[str]:
    return [problem["code"] for problem in system(node)["problems"]]


def console(node: Server) -> str:
    """Return the text of the console's page about the system."""
    status, body = node.get("/console/system")
    assert status == 200
    return " ".join(Document(body.decode()).text.split())


def shows(node: Server, wanted: dict[int, str]) -> Callable[[], bool]:
    return lambda: states(node) == wanted


def test_each_node_lists_all_nodes_until_they_stop(database_url: str, tmp_path: Path, run_command: RunCommand) -> None:
    with cluster(2, tmp_path, database_url, [PROGRAM]) as [first, second]:
        # given two nodes, and an event
        assert first.post(json.dumps(registered()).encode()) == 202
        both = {first.pid: READY, second.pid: READY}
        # when they have noted themselves, then each lists both, by names that tell them apart
        for node in (first, second):
            wait_until(shows(node, both))
            wait_until(lambda: all(one["position"] == 1 for one in nodes(node)))  # noqa: B023
            listed = nodes(node)
            assert [one["process_id"] for one in listed if one["is_this"]] == [node.pid]
            assert {one["name"].rpartition(":")[2] for one in listed} == {str(first.port), str(second.port)}
            assert {one["version"] for one in listed} == {__version__}
            wait_until(lambda: problems(node) == [])  # noqa: B023
        page = console(first)
        for pid in both:
            assert f"process {pid}" in page
        assert (page.count("Ready"), page.count("this node"), "Not heard" in page) == (3, 1, False)

        # when one is killed, then the other one tells since when it is not heard
        killed = second.pid
        [heard_at] = [one["heard_at"] for one in nodes(first) if one["process_id"] == killed]
        second.kill()
        wait_until(shows(first, {first.pid: READY, killed: NOT_HEARD}))
        [lost] = [one for one in nodes(first) if one["state"] == NOT_HEARD]
        assert lost["heard_at"] >= heard_at
        wait_until(lambda: problems(first) == ["node_not_heard"])
        page = console(first)
        assert "Not heard" in page
        assert "not heard since" in page
        assert f"1 node is not heard: {lost['name']} since {lost['heard_at'][:19]}Z." in page
        assert "Runbook: A node that is away" in page

        # when it is started again, then it takes its place in the list
        second.start()
        wait_until(shows(first, {first.pid: READY, second.pid: READY}))
        wait_until(lambda: problems(first) == [])

        # when it is stopped, then it leaves the list at once
        assert second.stop(signal.SIGTERM) == 0
        assert execute(database_url, "SELECT process_id FROM nodes") == [(first.pid,)]
        wait_until(shows(first, {first.pid: READY}))
        wait_until(lambda: problems(first) == [])

        # and no command takes the list for a part of the log
        assert run_command("verify", DATABASE_URL=database_url).exit_code == 0
        exported = run_command("export", "--full", DATABASE_URL=database_url)
        assert (exported.exit_code, len(exported.output.splitlines())) == (0, 1)
    assert execute(database_url, "SELECT count(*) FROM nodes") == [(1,)]  # the last one was killed


def test_a_node_that_pauses_is_not_heard_and_comes_back(database_url: str, tmp_path: Path) -> None:
    with cluster(2, tmp_path, database_url, [PROGRAM]) as [first, second]:
        before = {one["process_id"]: one["node_id"] for one in nodes(second)}
        os.kill(second.pid, signal.SIGSTOP)
        wait_until(shows(first, {first.pid: READY, second.pid: NOT_HEARD}))
        os.kill(second.pid, signal.SIGCONT)
        for node in (first, second):
            wait_until(shows(node, {first.pid: READY, second.pid: READY}))
        after = {one["process_id"]: one["node_id"] for one in nodes(second)}
        assert after[second.pid] == before[second.pid]


def test_nodes_of_several_versions_are_a_problem_until_the_upgrade_is_finished(
    database_url: str, tmp_path: Path
) -> None:
    programs = [PROGRAM, program_with_fast_heartbeats("99.1.0")]
    with cluster(2, tmp_path, database_url, programs) as [older, newer]:
        for node in (older, newer):
            wait_until(lambda: problems(node) == ["node_versions_differ"])  # noqa: B023
        assert "99.1.0" in console(older)
        assert older.stop(signal.SIGTERM) == 0
        wait_until(lambda: problems(newer) == [])


def test_a_node_that_refuses_events_is_listed_with_its_reason(database_url: str, tmp_path: Path) -> None:
    with cluster(2, tmp_path, database_url, [PROGRAM]) as [first, second]:
        # when the projection belongs to another version, as after an upgrade
        [(own,)] = execute(database_url, "SELECT schema FROM progress")
        execute(database_url, "UPDATE progress SET schema = 'another version'")
        # then both nodes still tell of both
        for node in (first, second):
            wait_until(shows(node, {first.pid: NOT_READY, second.pid: NOT_READY}))
            reasons = {one["unavailable_reason"] for one in nodes(node)}
            assert all("belongs to another version" in reason for reason in reasons)
        assert "belongs to another version" in console(first)
        execute(database_url, f"UPDATE progress SET schema = '{own}'")
        wait_until(shows(first, {first.pid: READY, second.pid: READY}))


def test_a_database_that_is_away_leaves_no_list_and_brings_it_back(tmp_path: Path) -> None:
    with PostgresServer() as database, cluster(2, tmp_path, database.url, [PROGRAM]) as [first, second]:
        both = {first.pid: READY, second.pid: READY}
        wait_until(shows(first, both))
        # when the database is away, then the list is as well, and the page says so
        database.kill()
        wait_until(shows(first, {}))
        shown = system(first)
        assert shown["nodes"] is None
        assert "nodes" in shown["missing"]
        assert "cannot be used now" in shown["unavailable_reason"]
        assert {"events_refused", "figures_missing"} <= set(problems(first))
        assert "The list of nodes cannot be read from the database now." in console(first)
        # when it is there again, then the list is, too, and no warning was logged
        database.start()
        for node in (first, second):
            wait_until(shows(node, both))
            wait_until(lambda: problems(node) == [])  # noqa: B023
        assert "cannot note itself" not in first.stderr
        # and a node that is stopped while the database is away ends all the same
        database.kill()
        assert second.stop(signal.SIGTERM) == 0
        database.start()
