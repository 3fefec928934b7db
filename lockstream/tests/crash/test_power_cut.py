"""The power goes at any moment: what was acknowledged is there, and a start is all it takes.

The server runs on a disk that forgets what was not flushed. A cut takes what might be on it, and the server goes on.
"""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import Clients
from lockstream.tests.crash.fault_report import FULL, Tally
from lockstream.tests.crash.lossy_fs.mounted import LossyDisk, lossy_disk, needs_lossy_disk
from lockstream.tests.crash.power import LOG, Cut, fate
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, command

pytestmark = needs_lossy_disk

FIRST = 100
"""Events that are acknowledged before the first cut."""

DISKS, CUTS = (20, 25) if FULL else (1, 8)
"""Servers, each on a disk of its own, and cuts while it is under load; the last of them is its end."""


async def cut_under_load(server: Server, disk: LossyDisk, chance: random.Random, folder: Path) -> list[Cut]:
    """Let clients post, and cut the power; the last time the server does not survive it."""
    clients = Clients(server, chance)
    cuts: list[Cut] = []

    async def cut() -> None:
        cuts.append(Cut(folder / str(len(cuts)), dict(clients.heard.acknowledged)))
        await asyncio.to_thread(disk.cut, cuts[-1].folder, chance.getrandbits(64))

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await clients.hear(lambda heard: len(heard.acknowledged) >= FIRST)
        for _ in range(CUTS - 1):
            await asyncio.sleep(chance.uniform(0.002, 0.06))
            await cut()
        clients.stop()
        await asyncio.to_thread(server.kill)
    await cut()
    return cuts


@pytest.mark.parametrize("number", range(1, DISKS + 1))
def test_what_was_acknowledged_survives_a_power_cut(number: int, tmp_path: Path, tally: Tally) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # shown where it fails
    with lossy_disk(tmp_path / "disk") as disk, Server(disk.folder / LOG).start() as server:
        cuts = asyncio.run(cut_under_load(server, disk, random.Random(seed), tmp_path))
    found = fate(*cuts)
    tally("3", "power cut under load", found)
    found.assert_none_lost_and_none_bricked()
    assert len(cuts[-1].acknowledged) >= FIRST
    log = cuts[-1].log
    with Server(log).start() as server:
        assert len(assert_shows_what_the_log_holds(server)) >= len(cuts[-1].acknowledged)
    assert command(log, "verify").returncode == 0
