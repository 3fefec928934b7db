"""A power cut at a random moment under load: every acknowledged event is in the log, and a start succeeds.

A read shows nothing that the disk then forgets.

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
from lockstream.tests.crash.readers import LIGHT_LOAD, Readers
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import Server

pytestmark = needs_lossy_disk

FIRST = 100
"""Events that are acknowledged before the first power cut."""

DISKS, CUTS = (20, 25) if FULL else (1, 8)
"""Servers, each on a disk of its own, and power cuts of each. Only the last one ends the server."""

READ_DISKS, READ_CUTS = (10, 25) if FULL else (1, 12)
"""Numbers of servers that are read as well. A power cut seldom comes between a read and the flush of its events."""


async def images_under_load(
    clients: Clients, readers: Readers | None, disk: LossyDisk, folder: Path, cuts: int, chance: random.Random
) -> list[DiskImage]:
    """Let clients post and readers read, and cut the power now and then. The server does not survive the last cut."""
    images: list[DiskImage] = []

    async def cut_power() -> None:
        # What clients have received is noted first: all of that must be on the disk.
        received, shown = dict(clients.received.acknowledged), readers.shown if readers else 0
        images.append(DiskImage(folder / str(len(images)), received, shown))
        await asyncio.to_thread(disk.cut_power, images[-1].folder, chance.getrandbits(64))

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        if readers:
            group.create_task(readers.run())
        await clients.wait_until(
            lambda received: len(received.acknowledged) >= FIRST and (readers is None or readers.have_read_everything)
        )
        for _ in range(cuts - 1):
            await asyncio.sleep(chance.uniform(0.002, 0.06))
            if readers:
                await readers.wait_until_ahead(0.1)
            await cut_power()
        clients.stop()
        await asyncio.to_thread(clients.server.kill)
    await cut_power()
    return images


@pytest.mark.parametrize("number", range(1, DISKS + 1))
def test_acknowledged_events_survive_a_power_cut(number: int, tmp_path: Path, fault_report: FaultReport) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # pytest shows it if the test fails
    # given a server under load on the lossy disk, whose power is cut again and again
    with lossy_disk(tmp_path / "disk") as disk, Server(disk.folder / LOG).start() as server:
        chance = random.Random(seed)
        images = asyncio.run(images_under_load(Clients(server, chance), None, disk, tmp_path, CUTS, chance))
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


@pytest.mark.parametrize("number", range(1, READ_DISKS + 1))
def test_reads_show_nothing_that_a_power_cut_takes_back(number: int, tmp_path: Path, fault_report: FaultReport) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # pytest shows it if the test fails
    # given a server that is posted to and read on the lossy disk, whose power is cut again and again
    with lossy_disk(tmp_path / "disk") as disk, Server(disk.folder / LOG).start() as server:
        chance = random.Random(seed)
        clients = Clients(server, chance, **LIGHT_LOAD)
        readers = Readers(clients, chance)
        images = asyncio.run(images_under_load(clients, readers, disk, tmp_path, READ_CUTS, chance))
    # when a store starts on the files of each cut, then it finds every event that was acknowledged or shown by then
    outcome = restart_on(*images)
    # and each response agrees with the files of the last cut
    outcome.bricked += readers.problems(audited(images[-1].log))
    fault_report.add(POWER, "power cut under load, with readers", outcome)
    outcome.assert_nothing_lost_or_bricked()
