"""An answer leaves the process after what it acknowledges was flushed to the disk, by the system's own account."""

import asyncio
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import ALONE, CLIENTS, LINES, LIST, Clients, Way
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import Server, needs_strace

WRITES, SENDS, FLUSHES = "write,writev,pwrite64,pwritev", "sendto,sendmsg", "fdatasync,fsync"

BEGUN, ENDED = re.compile(r" (?:fdatasync|fsync)\("), re.compile(r" (?:fdatasync|fsync)(?:\(| resumed).* = 0$")


@needs_strace
@pytest.mark.parametrize(
    ("way", "events"),
    [(ALONE, 1), (LIST, 1), (LIST, 1_000), (LINES, 1_000)],
    ids=["alone", "a list of one", "a list", "lines"],
)
def test_the_answer_comes_behind_the_flush(log_path: Path, way: Way, events: int, tally: Tally) -> None:
    batch = [registered(str(number)) for number in range(events)]
    trace = log_path.with_name("trace.txt")
    strace = ["strace", "-D", "-f", "-qq", "-s", "16", "-o", str(trace), "-e", f"trace={WRITES},{SENDS},{FLUSHES}"]
    with Server(log_path, under=strace).start() as server:
        status, _, body = server.request("POST", way.path, way.write(*batch), {"content-type": way.media_type})
        assert status in (200, 202)
        assert body.count(b'"position":') == len(batch)
        assert server.stop(signal.SIGTERM) == 0  # whoever traces writes down what was sent after it was received
    done = trace.read_text().splitlines()
    written = [at for at, line in enumerate(done) if '{\\"position\\":' in line]
    answered = [at for at, line in enumerate(done) if '"HTTP/1.1 20' in line]
    assert len(answered) == 1
    flushes = flushed(done)
    assert written
    in_time = any(begun > written[-1] and ended < answered[0] for begun, ended in flushes)
    tally("4", "the trace of one request", Fate(1, events, [] if in_time else [str(events)]))
    assert in_time, done[written[-1] :]


def flushed(done: list[str]) -> list[tuple[int, int]]:
    """Where each flush that succeeded began and ended."""
    begun: dict[str, int] = {}
    flushes = []
    for at, line in enumerate(done):
        process = line.split(" ", 1)[0]
        if BEGUN.search(line):
            begun[process] = at
        if ENDED.search(line):
            flushes.append((begun[process], at))
    return flushes


SECONDS = 30.0 if FULL else 2.0

CALL = re.compile(r"(\d+) +(<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
POSITION = re.compile(r'\\"position\\":(\d+)')


async def under_load(server: Server) -> int:
    """Have clients post until there are more answers than clients; returns how many events were acknowledged."""
    clients = Clients(server, random.Random(3))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(SECONDS)
        await clients.hear(lambda heard: heard.answers > CLIENTS)
        clients.stop()
    return len(clients.heard.acknowledged)


@needs_strace
def test_under_load_each_answer_comes_behind_a_flush_that_covers_it(log_path: Path, tally: Tally) -> None:
    trace = log_path.with_name("trace.txt")
    strace = ["strace", "-D", "-f", "-qq", "-y", "-s", "1000000", "-o", str(trace)]
    strace += ["-e", f"trace={WRITES},{SENDS},{FLUSHES}"]
    with Server(log_path, under=strace).start() as server:
        acknowledged = asyncio.run(under_load(server))
        assert server.stop(signal.SIGTERM) == 0
    answers = list(answered_and_flushed(trace.read_text().splitlines(), log_path))
    early = [
        f"{position} was answered when {flushed} was flushed" for position, flushed in answers if position > flushed
    ]
    tally("4", "the trace of answers under load", Fate(len(answers), acknowledged, early))
    assert early == []
    assert len(answers) > CLIENTS
    assert max(position for position, _ in answers) == acknowledged


def answered_and_flushed(done: list[str], log: Path) -> Iterator[tuple[int, int]]:
    """For each answer the last position in it, and up to which position the log had been flushed when it was sent."""
    written = flushed = 0
    writing: dict[str, int] = {}
    flushing: dict[str, int] = {}
    for process, resumed, name, rest in (call.groups() for line in done if (call := CALL.fullmatch(line))):
        ended, file = not rest.endswith("<unfinished ...>"), rest.partition(",")[0]
        positions = [int(position) for position in POSITION.findall(rest)]
        if not resumed and f"<{log}>" in file:
            if name in FLUSHES.split(","):
                flushing[process] = written
            else:
                writing[process] = positions[-1]
        elif positions and "<socket:" in file:
            yield max(positions), flushed
        if ended and process in flushing:
            flushed = max(flushed, flushing.pop(process)) if rest.endswith("= 0") else flushed
        elif ended and process in writing:
            written = writing.pop(process)
