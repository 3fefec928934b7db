"""A server that is killed with -9 under load, again and again: every acknowledged event is in the log, once."""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.core.ports import ignore_progress
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.clients import Clients, Received
from lockstream.tests.crash.fault_report import FULL, POWER, FaultOutcome, FaultReport
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server

ROUNDS, SECONDS = (20, 30.0) if FULL else (1, 1.5)
"""Servers, each with clients of its own, and the time for which each is under load."""


async def received_from_killed_server(server: Server, chance: random.Random) -> Received:
    """Let clients post; kill the server at a random moment, and again at the end. Return the responses."""
    clients = Clients(server, chance)
    first = SECONDS * chance.uniform(0.2, 0.8)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(first)
        await clients.restart()
        await asyncio.sleep(SECONDS - first)
        await clients.wait_until(is_enough)
        await clients.restart(is_last=True)
    return clients.received


def is_enough(received: Received) -> bool:
    return len(received.acknowledged) > 100 and received.batches > 10


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_acknowledged_events_survive_a_kill(number: int, log_path: Path, fault_report: FaultReport) -> None:
    # given a server that was killed twice under load
    with Server(log_path).start() as server:
        received = asyncio.run(received_from_killed_server(server, random.Random()))
        # when it has restarted, then it shows the log
        records = assert_shows_what_the_log_holds(server)
    # then the log holds each acknowledged event, and no refused one
    positions = {record["event_id"]: record["position"] for record in records}
    lost = [event_id for event_id, position in received.acknowledged.items() if positions.get(event_id) != position]
    outcome = FaultOutcome(2, len(received.acknowledged), lost, verify_file(log_path, ignore_progress).problems)
    fault_report.add(POWER, "killed with -9 under load", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert not received.refused & positions.keys()
    assert is_enough(received)
