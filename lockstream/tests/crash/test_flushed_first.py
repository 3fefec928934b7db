"""An answer leaves the process after what it acknowledges was flushed to the disk, by the system's own account."""

import re
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import ALONE, LINES, LIST, Way
from lockstream.tests.crash.server import Server, needs_strace
from lockstream.tests.given import registered

WRITES, SENDS, FLUSHES = "write,writev,pwrite64,pwritev", "sendto,sendmsg", "fdatasync,fsync"

BEGUN, ENDED = re.compile(r" (?:fdatasync|fsync)\("), re.compile(r" (?:fdatasync|fsync)(?:\(| resumed).* = 0$")


@needs_strace
@pytest.mark.parametrize(
    ("way", "events"),
    [(ALONE, 1), (LIST, 1), (LIST, 1_000), (LINES, 1_000)],
    ids=["alone", "a list of one", "a list", "lines"],
)
def test_the_answer_comes_behind_the_flush(log_path: Path, way: Way, events: int) -> None:
    batch = [registered(str(number)) for number in range(events)]
    trace = log_path.with_name("trace.txt")
    strace = ["strace", "-D", "-f", "-qq", "-s", "16", "-o", str(trace), "-e", f"trace={WRITES},{SENDS},{FLUSHES}"]
    with Server(log_path, under=strace).start() as server:
        status, _, body = server.request("POST", way.path, way.write(*batch), {"content-type": way.media_type})
        assert status in (200, 202)
        assert body.count(b'"position":') == len(batch)
        done = trace.read_text().splitlines()
    written = [at for at, line in enumerate(done) if '{\\"position\\":' in line]
    answered = [at for at, line in enumerate(done) if '"HTTP/1.1 20' in line]
    assert len(answered) == 1
    flushes = flushed(done)
    assert written
    assert any(begun > written[-1] and ended < answered[0] for begun, ended in flushes), done[written[-1] :]


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
