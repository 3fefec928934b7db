"""A power cut at a random moment under load: every acknowledged event is in the log, and a start succeeds.

The server runs on the lossy disk. A power cut copies the files that the disk might hold at that moment, and the server
goes on.
"""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.core.ports import ignore_progress
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.clients import Clients
from lockstream.tests.crash.disk_image import LOG, DiskImage, restart_on
from lockstream.tests.crash.fault_report import FULL, POWER, FaultReport
from lockstream.tests.crash.lossy_fs.mount import LossyDisk, lossy_disk, needs_lossy_disk
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server

pytestmark = needs_lossy_disk

FIRST = 100
"""Events that are acknowledged before the first power cut."""

DISKS, CUTS = (20, 25) if FULL else (1, 8)
"""Servers, each on a disk of its own, and power cuts of each. Only the last one ends the server."""


async def images_under_load(server: Server, disk: LossyDisk, chance: random.Random, folder: Path) -> list[DiskImage]:
    """Let clients post, and cut the power now and then. The server does not survive the last cut."""
    clients = Clients(server, chance)
    images: list[DiskImage] = []

    async def cut_power() -> None:
        # The copy of the acknowledged events is taken first: all of these must be on the disk.
        images.append(DiskImage(folder / str(len(images)), dict(clients.received.acknowledged)))
        await asyncio.to_thread(disk.cut_power, images[-1].folder, chance.getrandbits(64))

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await clients.wait_until(lambda received: len(received.acknowledged) >= FIRST)
        for _ in range(CUTS - 1):
            await asyncio.sleep(chance.uniform(0.002, 0.06))
            await cut_power()
        clients.stop()
        await asyncio.to_thread(server.kill)
    await cut_power()
    return images


@pytest.mark.parametrize("number", range(1, DISKS + 1))
def test_acknowledged_events_survive_a_power_cut(number: int, tmp_path: Path, fault_report: FaultReport) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # pytest shows it if the test fails
    # given a server under load on the lossy disk, whose power is cut again and again
    with lossy_disk(tmp_path / "disk") as disk, Server(disk.folder / LOG).start() as server:
        images = asyncio.run(images_under_load(server, disk, random.Random(seed), tmp_path))
    # when a store starts on the files of each cut, then it finds every acknowledged event
    outcome = restart_on(*images)
    fault_report.add(POWER, "power cut under load", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert len(images[-1].acknowledged) >= FIRST
    # and a server shows the state in the files of the last cut
    log = images[-1].log
    with restarted(log).start() as server:
        assert len(assert_shows_what_the_log_holds(server)) >= len(images[-1].acknowledged)
    assert verify_file(log, ignore_progress).problems == []
