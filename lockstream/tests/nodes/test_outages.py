"""The database goes away, and comes back, or another takes its place."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.fleet import NODES, Clients, Heard, assert_legal, history, nodes
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import Server, command, wait_until

CANCEL_THE_WAIT = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
ROUNDS = 20 if FULL else 2
MANY = 101
"""Events that are acknowledged after all."""


async def _while_clients_post(servers: list[Server], disturb: Callable[[], object]) -> Heard:
    clients = Clients(servers, random.Random())
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.to_thread(disturb)
        await asyncio.to_thread(until, lambda: _all_ready(servers))  # each finds its way back
        await clients.hear(MANY)
        clients.stop()
    return clients.heard


def _all_ready(servers: list[Server]) -> bool:
    return all(server.get("/health/ready")[0] == 200 for server in servers)


def test_a_database_that_is_killed_loses_nothing_and_nodes_carry_on(tmp_path: Path) -> None:
    with Machine() as machine, nodes(NODES, tmp_path, machine.url) as servers:

        def kill_it_again_and_again() -> None:
            for _ in range(ROUNDS):
                time.sleep(random.uniform(0.5, 2.0))
                machine.kill()
                time.sleep(random.uniform(0.0, 1.0))
                machine.start()

        heard = asyncio.run(_while_clients_post(servers, kill_it_again_and_again))
        before = len(heard.acknowledged)
        assert_legal(history(machine.url), heard)
        assert before >= MANY
        assert [server.post(json.dumps(registered(f"new-{server.port}")).encode()) for server in servers] == [
            202
        ] * NODES
        verified = command(tmp_path / "no-log", "verify", DATABASE_URL=machine.url)
        assert verified.returncode == 0, verified.stderr.decode()


def test_a_standby_takes_the_place_of_a_killed_primary(tmp_path: Path) -> None:
    with Machine() as primary, Machine(of=primary, cluster_name="standby") as standby:
        primary.wait_for_standby("standby")
        wait_until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        with nodes(2, tmp_path, f"postgresql+psycopg://postgres@{hosts}/postgres") as servers:

            def fail_over() -> None:
                time.sleep(2)
                primary.kill()
                standby.promote()

            heard = asyncio.run(_while_clients_post(servers, fail_over))
            assert_legal(history(standby.url), heard)
            assert len(heard.acknowledged) >= MANY
            assert [server.get("/health/ready")[0] for server in servers] == [200, 200]


def test_a_commit_that_did_not_wait_for_the_standby_is_not_acknowledged(
    tmp_path: Path,
) -> None:
    event = json.dumps(registered()).encode()
    with Machine() as primary, nodes(1, tmp_path, primary.url) as [server], ThreadPoolExecutor() as threads:
        primary.wait_for_standby("nobody")
        posted = threads.submit(server.post, event)
        wait_until(lambda: primary.execute(CANCEL_THE_WAIT))
        wait_until(lambda: primary.execute("SELECT count(*) FROM events") == [(1,)])
        wait_until(lambda: primary.execute(CANCEL_THE_WAIT))  # that of the commit by which the node finds out
        assert not posted.done()
        primary.wait_for_standby("")
        assert posted.result() == 202
        assert server.post(event) == 200


def test_a_node_says_that_its_database_is_away_and_is_back_by_itself(tmp_path: Path) -> None:
    with Machine() as machine, nodes(1, tmp_path, machine.url) as [server]:
        event = json.dumps(registered()).encode()
        assert server.post(event) == 202
        machine.kill()
        status, headers, answer = server.request("POST", "/events", event)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "cannot be used now" in json.loads(answer)["detail"]
        status, answer = server.get("/health/ready")
        assert status == 503
        assert server.get("/health/live")[0] == 200
        assert server.get("/lockers/locker-1")[0] == 503
        machine.start()
        wait_until(lambda: server.get("/health/ready")[0] == 200)
        assert server.post(event) == 200
        assert server.get("/lockers/locker-1")[0] == 200
