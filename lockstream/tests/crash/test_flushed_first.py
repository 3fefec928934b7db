"""A response leaves the process after the events that it acknowledges were flushed to disk, as strace shows."""

import asyncio
import random
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import ARRAY, CLIENTS, LINES, SINGLE, Clients, Format
from lockstream.tests.crash.fault_report import FLUSH, FULL, FaultOutcome, FaultReport
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import FAST, STRACE, Server, needs_strace

WRITES, SENDS, FLUSHES = "write,writev,pwrite64,pwritev", "sendto,sendmsg", "fdatasync,fsync"

BEGIN, END = re.compile(r" (?:fdatasync|fsync)\("), re.compile(r" (?:fdatasync|fsync)(?:\(| resumed).* = 0$")

REQUESTS = {
    "a single event": (SINGLE, 1),
    "an array of one": (ARRAY, 1),
    "an array": (ARRAY, 1_000),
    "lines": (LINES, 1_000),
}
"""Formats of requests and their numbers of events."""


def strace(trace: Path, *options: str) -> list[str]:
    """Return a command that runs a server and traces its writes, flushes and sends."""
    return [*STRACE, FAST, *options, "-o", str(trace), "-e", f"trace={WRITES},{SENDS},{FLUSHES}"]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The trace of each request: the calls after the response before it, up to its own response."""
    log = tmp_path_factory.mktemp("flushed-first") / "event_log.jsonl"
    trace = log.with_name("trace.txt")
    with Server(log, under=strace(trace, "-s", "16")).start() as server:
        for name, (form, events) in REQUESTS.items():
            acknowledge(server, form, events, locker=name.replace(" ", "-"))
        assert server.stop(signal.SIGTERM) == 0  # strace writes a call down after the client may have seen its effect
    calls = trace.read_text().splitlines()
    responses = [index for index, line in enumerate(calls) if '"HTTP/1.1 20' in line]
    assert len(responses) == len(REQUESTS)
    starts = [0, *(index + 1 for index in responses)]
    return {name: calls[start : end + 1] for name, start, end in zip(REQUESTS, starts, responses, strict=False)}


def acknowledge(server: Server, form: Format, events: int, locker: str) -> None:
    """Post events, all of which must be acknowledged."""
    batch = [registered(str(number), locker=locker) for number in range(events)]
    status, _, body = server.request("POST", form.path, form.encode(*batch), {"content-type": form.media_type})
    assert status in (200, 202)
    assert body.count(b'"position":') == len(batch)


@needs_strace
@pytest.mark.parametrize("name", REQUESTS)
def test_a_response_is_sent_after_the_flush(name: str, traces: dict[str, list[str]], fault_report: FaultReport) -> None:
    calls, events = traces[name], REQUESTS[name][1]
    written = [index for index, line in enumerate(calls) if '{\\"position\\":' in line]
    assert written
    is_flushed = any(begin > written[-1] for begin, _ in flushes_in(calls))
    fault_report.add(FLUSH, "the trace of one request", FaultOutcome(1, events, [] if is_flushed else [str(events)]))
    assert is_flushed, calls[written[-1] :]


def flushes_in(calls: Sequence[str]) -> list[tuple[int, int]]:
    """Return the indexes at which each successful flush began and ended."""
    begun: dict[str, int] = {}
    flushes = []
    for index, line in enumerate(calls):
        thread = line.split(" ", 1)[0]
        if BEGIN.search(line):
            begun[thread] = index
        if END.search(line) and thread in begun:
            flushes.append((begun.pop(thread), index))
    return flushes


SECONDS = 30.0 if FULL else 0.0
"""Shortest time under load."""

CALL = re.compile(r"(\d+) +(<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
POSITION = re.compile(r'\\"position\\":(\d+)')


async def acknowledged_under_load(server: Server) -> int:
    """Let clients post until there are more responses than clients; return how many events were acknowledged."""
    clients = Clients(server, random.Random(3))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(SECONDS)
        await clients.wait_until(lambda received: received.acknowledgements > 3 * CLIENTS)
        clients.stop()
    return len(clients.received.acknowledged)


@needs_strace
def test_under_load_each_response_is_sent_after_a_flush_that_covers_it(
    log_path: Path, fault_report: FaultReport
) -> None:
    # given the trace of a server under load
    trace = log_path.with_name("trace.txt")
    with Server(log_path, under=strace(trace, "-y", "-s", "1000000")).start() as server:
        acknowledged = asyncio.run(acknowledged_under_load(server))
        assert server.stop(signal.SIGTERM) == 0
    # when the positions in each response are compared with those flushed by then
    responses = list(sent_and_flushed(trace.read_text().splitlines(), log_path))
    early = [f"{sent} was sent when {flushed} was flushed" for sent, flushed in responses if sent > flushed]
    # then no response was sent too early
    fault_report.add(FLUSH, "the trace of responses under load", FaultOutcome(len(responses), acknowledged, early))
    assert early == []
    assert len(responses) > CLIENTS
    assert max(position for position, _ in responses) == acknowledged


def sent_and_flushed(calls: Sequence[str], log: Path) -> Iterator[tuple[int, int]]:
    """Yield, for each response, its last position, and the position up to which the log was flushed by then."""
    written = flushed = 0
    writing: dict[str, int] = {}
    flushing: dict[str, int] = {}
    for thread, resumed, name, rest in (call.groups() for line in calls if (call := CALL.fullmatch(line))):
        is_ended, file = not rest.endswith("<unfinished ...>"), rest.partition(",")[0]
        positions = [int(position) for position in POSITION.findall(rest)]
        if not resumed and f"<{log}>" in file:
            if name in FLUSHES.split(","):
                flushing[thread] = written
            else:
                writing[thread] = positions[-1]
        elif positions and "<socket:" in file:
            yield max(positions), flushed
        if is_ended and thread in flushing:
            flushed = max(flushed, flushing.pop(thread)) if rest.endswith("= 0") else flushed
        elif is_ended and thread in writing:
            written = writing.pop(thread)
