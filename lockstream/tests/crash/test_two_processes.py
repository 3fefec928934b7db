"""Two on one log: who comes second says so and leaves; who only reads may stay, and reads a consistent prefix."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from lockstream.tests.crash.clients import lives
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import files_beside, history, record
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment

TIMES = 10 if FULL else 1

EVENTS = 10
"""That are in the log."""

WRITERS = [["serve"], ["rebuild"], ["import", "events.jsonl"], ["repair", "--yes"]]


def wrong_with_the_second(log: Path, ended: subprocess.CompletedProcess[bytes]) -> list[str]:
    """It must say in a sentence that the log is in use, and exit as a failure."""
    said = ended.stderr.decode()
    right = ended.returncode == 1 and said.startswith("lockstream: ") and said.count("\n") == 1
    return [] if right and f"{log} is in use" in said else [f"{ended.returncode}: {said}"]


def all_refused(log: Path, first: str, writers: list[list[str]], tally: Tally) -> None:
    """Have each of `writers` come second; each must leave everything as it is."""
    found, before = Fate(), files_beside(log)
    before.pop("stderr.txt", None)
    for arguments in writers:
        one = Fate(TIMES, TIMES * EVENTS, refused=TIMES)
        for _ in range(TIMES):
            one.bricked += wrong_with_the_second(log, command(log, *arguments, LOCKSTREAM_PORT="0"))
        tally("5", f"{first}, and then `{arguments[0]}`", one)
        found += one
    after = files_beside(log)
    assert {name: after[name] for name in before} == before
    found.assert_none_lost_and_none_bricked()


def test_who_comes_second_to_a_server_says_so_and_harms_nothing(log_path: Path, tally: Tally) -> None:
    record(log_path, history())
    log_path.with_name("events.jsonl").write_text(json.dumps(picked_up("locker-1-parcel-3")) + "\n")
    with Server(log_path).start() as server:
        all_refused(log_path, "a server", WRITERS, tally)
        assert server.post(json.dumps(picked_up("locker-1-parcel-3")).encode()) == 202
        assert len(assert_shows_what_the_log_holds(server)) == EVENTS + 1


@contextmanager
def importing(log: Path, pipe: Path) -> Iterator[None]:
    """An import that has taken the log, and waits for the events that it is to read from a pipe."""
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstream", "import", str(pipe)],
        cwd=log.parent,
        env=environment(log),
        stderr=subprocess.PIPE,
    )
    try:
        with opened(pipe):
            yield
        said = process.communicate(timeout=TIMEOUT_SECONDS)[1]
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


def opened(pipe: Path) -> IO[bytes]:
    """The end that is written to, as soon as somebody reads from it; an import does so once it has the log."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with suppress(OSError):  # nobody reads from it yet
            return open(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")  # noqa: PTH123  # a descriptor
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_comes_second_to_an_import_says_so_and_harms_nothing(
    log_path: Path, tmp_path_factory: pytest.TempPathFactory, tally: Tally
) -> None:
    record(log_path, history())
    with importing(log_path, tmp_path_factory.mktemp("import") / "pipe"):
        all_refused(log_path, "an import", WRITERS[:2], tally)
    assert len(audited(log_path)) == EVENTS


def wrong_with_readers(log: Path, number: int, known: int) -> list[str]:
    """Have each read beside a server, and hold it to what was acknowledged when it began: so many events at least."""
    copy = log.with_name(f"copy-{number}.jsonl")
    verified, exported, backed_up = (
        command(log, *arguments) for arguments in (["verify"], ["export"], ["backup", str(copy)])
    )
    found = [
        f"{ended.args}: {ended.stderr.decode()}"
        for ended in (verified, exported, backed_up)
        if ended.returncode or b"Traceback" in ended.stderr
    ]
    ids = [json.loads(line)["event_id"] for line in exported.stdout.splitlines()]
    copied = [entry["event_id"] for entry in audited(copy)]
    whole, now = log.read_bytes(), [json.loads(line)["event_id"] for line in log.read_bytes().splitlines()[: len(ids)]]
    if not whole.startswith(copy.read_bytes()):
        found.append("the copy is not how the log begins")
    if now != ids:
        found.append("what was exported is not how the log begins")
    if min(len(ids), len(copied)) < known:
        found.append(f"{known} were acknowledged; {len(ids)} were exported and {len(copied)} copied")
    return found


@contextmanager
def reporting(server: Server) -> Iterator[dict[str, int]]:
    """A locker that reports all the time; gives what was acknowledged, by id."""
    acknowledged: dict[str, int] = {}
    under_way, stopped = threading.Event(), threading.Event()

    def report() -> None:
        for body in lives("reporting", random.Random(5)):
            status, _, answer = server.request("POST", "/events", json.dumps(body).encode())
            if status == 202:
                acknowledged[body["event_id"]] = json.loads(answer)["position"]
            if len(acknowledged) > EVENTS:
                under_way.set()
            if stopped.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        reported = pool.submit(report)
        try:
            assert under_way.wait(TIMEOUT_SECONDS)
            yield acknowledged
        finally:
            stopped.set()
        reported.result()


def test_who_only_reads_reads_a_consistent_prefix_beside_a_server(log_path: Path, tally: Tally) -> None:
    found = Fate()
    record(log_path, history())
    with Server(log_path).start() as server:
        with reporting(server) as acknowledged:
            for number in range(TIMES):
                known = EVENTS + len(acknowledged)
                found += Fate(3, 3 * known)
                found.bricked += wrong_with_readers(log_path, number, known)
        assert len(assert_shows_what_the_log_holds(server)) == EVENTS + len(acknowledged)
    tally("5", "a server under load, and `verify`, `export` and `backup`", found)
    found.assert_none_lost_and_none_bricked()
