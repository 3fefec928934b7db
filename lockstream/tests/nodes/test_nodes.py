"""Four nodes on one database, and clients that fight over a few lockers there."""

import asyncio
import json
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lockstream.infrastructure.postgres.connection import IDLE_SECONDS
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.nodes.fleet import NODES, Clients, Heard, Reader, assert_legal, history, nodes
from lockstream.tests.support.processes import Server, command

ROUNDS = 20 if FULL else 2
SECONDS = 5.0
MANY = 201
"""Events that are acknowledged at least."""

type Disturb = Callable[[list[Server], random.Random], Awaitable[None]]


async def nothing(servers: list[Server], chance: random.Random) -> None:
    await asyncio.sleep(SECONDS)


async def kill(servers: list[Server], chance: random.Random) -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        server = chance.choice(servers)
        server.kill()
        await asyncio.to_thread(server.start)
    await asyncio.sleep(0.5)


async def stop_and_continue(servers: list[Server], chance: random.Random) -> None:
    """Have nodes stand still for longer than one may be at its turn, mostly in the middle of a batch."""
    for _ in range(ROUNDS):
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        server = chance.choice(servers)
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(IDLE_SECONDS + 1.5)
        os.kill(server.pid, signal.SIGCONT)
    await asyncio.sleep(0.5)


async def fight(servers: list[Server], disturb: Disturb, chance: random.Random) -> Heard:
    clients = Clients(servers, chance)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await disturb(servers, chance)
        await clients.hear(MANY - len(clients.heard.acknowledged))
        clients.stop()
    return clients.heard


@pytest.mark.parametrize("disturb", [nothing, kill, stop_and_continue])
def test_the_merged_history_is_legal_and_holds_all_that_was_acknowledged(
    disturb: Disturb, url: str, tmp_path: Path
) -> None:
    with nodes(NODES, tmp_path, url) as servers:
        with Reader(url) as reader:
            heard = asyncio.run(fight(servers, disturb, random.Random()))
        events = history(url)
        model = assert_legal(events, heard)
        for server in servers:
            for locker in model.lockers():
                shown = json.loads(server.get(f"/lockers/{locker}")[1])
                counts = shown["compartments"], shown["active_reservations"], shown["degraded_compartments"]
                assert counts == model.counts(locker)
        assert len({json.loads(server.get("/lockers/north")[1])["state_hash"] for server in servers}) == 1
    assert reader.seen == [event["event_id"] for event in events]
    assert len(heard.acknowledged) >= MANY
    verified = command(tmp_path / "no-log", "verify", DATABASE_URL=url)
    assert verified.returncode == 0, verified.stderr.decode()
