"""A server that is killed with -9 under load, again and again.

Every acknowledged event is in the log, once, and every response to a read agrees with the log.
"""

import asyncio
import random
from pathlib import Path

import pytest

from lockstream.core.ports import ignore_progress
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.clients import Clients, Received
from lockstream.tests.crash.fault_report import FULL, POWER, FaultOutcome, FaultReport
from lockstream.tests.crash.readers import LIGHT_LOAD, Readers
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import SERVE, Server

ROUNDS, SECONDS = (20, 10.0) if FULL else (1, 1.5)
"""Servers, each with clients of its own, and the time for which each is under load."""

READ_ROUNDS, READ_SECONDS, KILLS = (10, 10.0, 8) if FULL else (1, 2.0, 3)
"""Servers that are read as well, the time for which each is under load, and the kills of each."""


SERVE_WITH_KEY = (
    "-c",
    "from lockstream.core.entities.access import Caller; from lockstream.core.entities.events import KeyId; "
    "from lockstream.presentation.http.access import callers; "
    "callers.caller_of = lambda scope: Caller(KeyId('k3y8char')); "
    "from lockstream.presentation.cli.main import main; main(['serve'])",
)
"""Arguments of Python that start a server all of whose requests come from one key."""


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


@pytest.mark.parametrize("program", [SERVE, SERVE_WITH_KEY], ids=["without keys", "with a key"])
@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_acknowledged_events_survive_a_kill(
    number: int, program: tuple[str, ...], log_path: Path, fault_report: FaultReport
) -> None:
    # given a server that was killed twice under load
    with Server(log_path, program=program).start() as server:
        received = asyncio.run(received_from_killed_server(server, random.Random()))
        # when it has restarted, then it shows the log
        records = assert_shows_what_the_log_holds(server)
    # then the log holds each acknowledged event, and no refused one
    problems = verify_file(log_path, ignore_progress).problems
    outcome = FaultOutcome(2, len(received.acknowledged), received.lost(records), problems)
    fault_report.add(POWER, "killed with -9 under load", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert not received.refused & {record["event_id"] for record in records}
    assert is_enough(received)
    # and each event bears the key that reported it
    assert {record.get("recorded_by") for record in records} == {"k3y8char" if program is SERVE_WITH_KEY else None}


async def read_from_killed_server(server: Server, chance: random.Random) -> tuple[Received, Readers]:
    """Let clients post and readers read, and kill the server at random moments. Return the responses."""
    clients = Clients(server, chance, **LIGHT_LOAD)
    readers = Readers(clients, chance)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        group.create_task(readers.run())
        for _ in range(KILLS - 1):
            await asyncio.sleep(READ_SECONDS / KILLS * chance.uniform(0.2, 1.8))
            await clients.restart()
        await clients.wait_until(lambda received: is_enough(received) and readers.have_read_everything)
        await clients.restart(is_last=True)
    return clients.received, readers


@pytest.mark.parametrize("number", range(1, READ_ROUNDS + 1))
def test_reads_between_kills_agree_with_the_log(number: int, log_path: Path, fault_report: FaultReport) -> None:
    # given a server that was killed under load, again and again, while all lists and states were read
    with Server(log_path).start() as server:
        received, readers = asyncio.run(read_from_killed_server(server, random.Random()))
        # when it has restarted, then its lists agree with the log
        records = assert_shows_what_the_log_holds(server)
    # then so does each response before, at the position that it names, and none was behind an acknowledgement
    outcome = FaultOutcome(KILLS, len(received.acknowledged), received.lost(records), readers.problems(records))
    fault_report.add(POWER, "killed with -9 under load, with readers", outcome)
    outcome.assert_nothing_lost_or_bricked()
