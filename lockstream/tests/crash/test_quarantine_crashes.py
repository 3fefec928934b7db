"""Kills and power cuts while events are refused, resubmitted and streamed: the log and the quarantine agree afterwards.

No acknowledged event is lost, and none is accepted twice. A refused event whose line was
written before is in the quarantine, and in the log only if it was accepted later. An accepted event has no entry.
"""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.tests.crash.disk_image import LOG, DiskImage, restart_on
from lockstream.tests.crash.fault_report import FULL, POWER, FaultOutcome, FaultReport
from lockstream.tests.crash.late_reports import Kept, LateClients, quarantine_problems
from lockstream.tests.crash.lossy_fs.mount import LossyDisk, lossy_disk, needs_lossy_disk
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server

ROUNDS = 20 if FULL else 1
"""Servers that are killed twice."""

DISKS, CUTS = (10, 10) if FULL else (1, 4)
"""Servers, each on a disk of its own, and power cuts of each."""


def is_enough(clients: LateClients) -> bool:
    return len(clients.received.acknowledged) > 100 and clients.resubmitted > 10 and len(clients.kept().refused) > 10


async def wait_until_enough(clients: LateClients) -> None:
    await clients.wait_until(lambda _: is_enough(clients))


async def kill_twice(clients: LateClients, chance: random.Random) -> None:
    """Kill the server while the operator is at work, and again when the operator has been idle for a while."""
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await wait_until_enough(clients)
        await asyncio.sleep(chance.uniform(0, 0.5))
        await clients.restart()
        await wait_until_enough(clients)
        clients.is_resubmitting = False
        await clients.wait_until_written()
        await asyncio.sleep(chance.uniform(0, 1))
        await clients.restart(is_last=True)


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_refused_events_survive_a_kill_until_they_are_accepted(
    number: int, log_path: Path, fault_report: FaultReport
) -> None:
    # given a server that was killed while events were refused and resubmitted
    with Server(log_path).start() as server:
        clients = LateClients(server, random.Random())
        asyncio.run(kill_twice(clients, random.Random()))
        server.kill()
    # when it restarts, then log and quarantine agree, and hold what was answered
    problems = quarantine_problems(restarted(log_path), clients.kept())
    # and so does the feed
    received, records = clients.received, audited(log_path)
    problems += [problem for follower in clients.followers for problem in follower.problems(records)]
    outcome = FaultOutcome(2, len(received.acknowledged), received.lost(records), problems)
    fault_report.add(POWER, "killed with -9 while refused events are resubmitted", outcome)
    outcome.assert_nothing_lost_or_bricked()


async def images_of_cuts(
    clients: LateClients, disk: LossyDisk, folder: Path, chance: random.Random
) -> list[tuple[DiskImage, Kept]]:
    """Cut the power now and then while events are refused and resubmitted; the operator is idle before the last cut."""
    images: list[tuple[DiskImage, Kept]] = []

    async def cut_power() -> None:
        image = DiskImage(folder / str(len(images)), dict(clients.received.acknowledged), clients.shown)
        images.append((image, clients.kept()))
        await asyncio.to_thread(disk.cut_power, image.folder, chance.getrandbits(64))

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await wait_until_enough(clients)
        for _ in range(CUTS - 1):
            await asyncio.sleep(chance.uniform(0.01, 0.5))
            await cut_power()
        clients.is_resubmitting = False
        await clients.wait_until_written()
        await asyncio.sleep(chance.uniform(0, 1))
        clients.stop()
        await asyncio.to_thread(clients.server.kill)
    await cut_power()
    return images


@needs_lossy_disk
@pytest.mark.parametrize("number", range(1, DISKS + 1))
def test_refused_events_survive_a_power_cut_until_they_are_accepted(
    number: int, tmp_path: Path, fault_report: FaultReport
) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # pytest shows it if the test fails
    # given a server on the lossy disk, whose power is cut while events are refused and resubmitted
    with lossy_disk(tmp_path / "disk") as disk, Server(disk.folder / LOG).start() as server:
        chance = random.Random(seed)
        clients = LateClients(server, chance)
        images = asyncio.run(images_of_cuts(clients, disk, tmp_path, chance))
    # when a server starts on the files of each cut, then log and quarantine agree, and hold what was answered by then
    problems = [problem for image, kept in images for problem in quarantine_problems(restarted(image.log), kept)]
    # and so does the feed
    records = audited(images[-1][0].log)
    problems += [problem for follower in clients.followers for problem in follower.problems(records)]
    outcome = restart_on(*(image for image, _ in images))
    outcome.bricked += problems
    fault_report.add(POWER, "power cut while refused events are resubmitted", outcome)
    outcome.assert_nothing_lost_or_bricked()
