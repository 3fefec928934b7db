"""Killed with -9 under load, again and again: what was acknowledged is there, once."""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import Clients, Heard
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, command

ROUNDS, SECONDS = (20, 30.0) if FULL else (3, 2.0)


async def killed_twice(server: Server, chance: random.Random) -> Heard:
    """Let clients post for `SECONDS` at least; kill the server at some moment on the way, and again at the end."""
    clients = Clients(server, chance)
    first = SECONDS * chance.uniform(0.2, 0.8)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(first)
        await clients.restart()
        await asyncio.sleep(SECONDS - first)
        await clients.hear(enough)
        await clients.restart(last=True)
    return clients.heard


def enough(heard: Heard) -> bool:
    return len(heard.acknowledged) > 100 and heard.batches > 10


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_what_was_acknowledged_survives_a_kill(number: int, log_path: Path, tally: Tally) -> None:
    with Server(log_path).start() as server:
        heard = asyncio.run(killed_twice(server, random.Random()))
        records = assert_shows_what_the_log_holds(server)
    positions = {record["event_id"]: record["position"] for record in records}
    lost = [event_id for event_id, position in heard.acknowledged.items() if positions.get(event_id) != position]
    verified = command(log_path, "verify")
    bricked = [verified.stderr.decode()] if verified.returncode else []
    found = Fate(2, len(heard.acknowledged), lost, bricked)
    tally("3", "killed with -9 under load", found)
    found.assert_none_lost_and_none_bricked()
    assert not heard.refused & positions.keys()
    assert enough(heard)
