"""Two processes on one log: a second writer exits with an error; readers beside a server read a consistent prefix."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from lockstream.tests.crash.clients import locker_events
from lockstream.tests.crash.fault_report import FULL, PROCESSES, FaultOutcome, FaultReport
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import files_beside, history, record
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment, wait_until

TIMES = 10 if FULL else 1

EVENTS = 10
"""Events in the log at first."""

WRITERS = [["serve"], ["rebuild"], ["import", "events.jsonl"], ["repair", "--yes"]]


def problems_of_second(log: Path, ended: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Return an explanation unless the process said in one line that the log is in use, and exited with an error."""
    text = ended.stderr.decode()
    is_right = ended.returncode == 1 and text.startswith("lockstream: ") and text.count("\n") == 1
    return [] if is_right and f"{log} is in use" in text else [f"{ended.returncode}: {text}"]


def assert_each_is_refused(log: Path, first: str, writers: list[list[str]], fault_report: FaultReport) -> None:
    """Run each of `writers` beside the `first` process; each must exit with an error and change nothing."""
    total, before = FaultOutcome(), files_beside(log)
    before.pop("stderr.txt", None)
    for arguments in writers:
        outcome = FaultOutcome(TIMES, TIMES * EVENTS, refused=TIMES)
        for _ in range(TIMES):
            outcome.bricked += problems_of_second(log, command(log, *arguments, LOCKSTREAM_PORT="0"))
        fault_report.add(PROCESSES, f"{first}, and then `{arguments[0]}`", outcome)
        total += outcome
    after = files_beside(log)
    assert {name: after[name] for name in before} == before
    total.assert_nothing_lost_or_bricked()


def test_a_second_process_on_the_log_of_a_server_exits_with_an_error(log_path: Path, fault_report: FaultReport) -> None:
    record(log_path, history())
    log_path.with_name("events.jsonl").write_text(json.dumps(picked_up("locker-1-parcel-3")) + "\n")
    with Server(log_path).start() as server:
        assert_each_is_refused(log_path, "a server", WRITERS, fault_report)
        assert server.post(json.dumps(picked_up("locker-1-parcel-3")).encode()) == 202
        assert len(assert_shows_what_the_log_holds(server)) == EVENTS + 1


@contextmanager
def running_import(log: Path, pipe: Path) -> Iterator[None]:
    """Run an import that has locked the log, and waits for events from a pipe."""
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstream", "import", str(pipe)],
        cwd=log.parent,
        env=environment(log),
        stderr=subprocess.PIPE,
    )
    try:
        with opened_for_writing(pipe):
            yield
        _, stderr = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0, stderr
    finally:
        process.kill()
        process.communicate()


def opened_for_writing(pipe: Path) -> IO[bytes]:
    """Open the writing end of a pipe as soon as a process reads from it. An import does so once it has the log."""
    opened: list[int] = []

    def has_reader() -> bool:
        with suppress(OSError):
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(has_reader)
    return open(opened[0], "wb")  # noqa: PTH123  # a descriptor


def test_a_second_process_on_the_log_of_an_import_exits_with_an_error(
    log_path: Path, tmp_path_factory: pytest.TempPathFactory, fault_report: FaultReport
) -> None:
    record(log_path, history())
    with running_import(log_path, tmp_path_factory.mktemp("import") / "pipe"):
        assert_each_is_refused(log_path, "an import", WRITERS[:2], fault_report)
    assert len(audited(log_path)) == EVENTS


def problems_of_readers(log: Path, number: int, acknowledged: int) -> list[str]:
    """Run each reader beside a server; each must succeed, and read at least the `acknowledged` events."""
    copy = log.with_name(f"copy-{number}.jsonl")
    verified, exported, backed_up = (
        command(log, *arguments) for arguments in (["verify"], ["export"], ["backup", str(copy)])
    )
    problems = [
        f"{ended.args}: {ended.stderr.decode()}"
        for ended in (verified, exported, backed_up)
        if ended.returncode or b"Traceback" in ended.stderr
    ]
    ids = [json.loads(line)["event_id"] for line in exported.stdout.splitlines()]
    copied = [entry["event_id"] for entry in audited(copy)]
    content = log.read_bytes()
    if not content.startswith(copy.read_bytes()):
        problems.append("the copy is not a beginning of the log")
    if [json.loads(line)["event_id"] for line in content.splitlines()[: len(ids)]] != ids:
        problems.append("the exported events are not a beginning of the log")
    if min(len(ids), len(copied)) < acknowledged:
        problems.append(f"{acknowledged} events were acknowledged, {len(ids)} exported and {len(copied)} copied")
    return problems


@contextmanager
def posting(server: Server) -> Iterator[dict[str, int]]:
    """Let a locker report during the block. Gives the positions of its acknowledged events by id."""
    acknowledged: dict[str, int] = {}
    has_begun, is_stopped = threading.Event(), threading.Event()

    def post() -> None:
        for body in locker_events("reporting", random.Random(5)):
            status, _, response = server.request("POST", "/events", json.dumps(body).encode())
            if status == 202:
                acknowledged[body["event_id"]] = json.loads(response)["position"]
            if len(acknowledged) > EVENTS:
                has_begun.set()
            if is_stopped.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(post)
        try:
            assert has_begun.wait(TIMEOUT_SECONDS)
            yield acknowledged
        finally:
            is_stopped.set()
        posted.result()


def test_verify_export_and_backup_beside_a_server_read_a_consistent_prefix(
    log_path: Path, fault_report: FaultReport
) -> None:
    outcome = FaultOutcome()
    record(log_path, history())
    with Server(log_path).start() as server:
        with posting(server) as acknowledged:
            for number in range(TIMES):
                known = EVENTS + len(acknowledged)
                outcome += FaultOutcome(3, 3 * known)
                outcome.bricked += problems_of_readers(log_path, number, known)
        assert len(assert_shows_what_the_log_holds(server)) == EVENTS + len(acknowledged)
    fault_report.add(PROCESSES, "a server under load, and `verify`, `export` and `backup`", outcome)
    outcome.assert_nothing_lost_or_bricked()
