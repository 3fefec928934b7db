"""Killed with -9 under load, again and again: what was acknowledged is there, once."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from lockstream.tests.crash.audit import assert_shows_what_the_log_holds
from lockstream.tests.crash.clients import Clients, Heard
from lockstream.tests.crash.server import Server, command

ROUNDS, SECONDS = (20, 30.0) if os.environ.get("LOCKSTREAM_CRASH") == "full" else (3, 2.0)

HEADER = "\nround  acknowledged    in log  lost  batches  resumed  starts in (s)  seed"


async def killed_twice(server: Server, chance: random.Random) -> tuple[Heard, list[float]]:
    """Let clients post for `SECONDS`; kill the server at some moment on the way, and again at the end.

    Returns what they heard, and the seconds that each start after a kill took.
    """
    clients = Clients(server, chance)
    first = SECONDS * chance.uniform(0.2, 0.8)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(first)
        starts = [await clients.restart()]
        await asyncio.sleep(SECONDS - first)
        starts.append(await clients.restart(last=True))
    return clients.heard, starts


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_what_was_acknowledged_survives_a_kill(number: int, log_path: Path) -> None:
    seed = random.randrange(2**32)
    with Server(log_path).start() as server:
        heard, starts = asyncio.run(killed_twice(server, random.Random(seed)))
        records = assert_shows_what_the_log_holds(server)
    positions = {record["event_id"]: record["position"] for record in records}
    lost = heard.acknowledged.keys() - positions.keys()
    counts = f"{number:5}  {len(heard.acknowledged):12,}  {len(records):8,}  {len(lost):4}"
    counts += f"  {heard.batches:7,}  {heard.resumed:7,}"
    print(HEADER if number == 1 else "", f"{counts}   {starts[0]:5.2f}  {starts[1]:5.2f}  {seed}", sep="\n", end="")
    assert not lost
    assert heard.acknowledged.items() <= positions.items()
    assert not heard.refused & positions.keys()
    assert len(heard.acknowledged) > 100
    assert heard.batches > 10
    verified = command(log_path, "verify")
    assert verified.returncode == 0, verified.stderr
