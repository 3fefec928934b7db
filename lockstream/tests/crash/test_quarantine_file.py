"""A quarantine file that is damaged or cannot be written: the server starts, accepts events, and shows its entries."""

import errno
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from lockstream.core.entities.quarantine import (
    AcceptedEvent,
    Entry,
    EntryStatus,
    QuarantineChanges,
    QuarantineLimits,
    QuarantineQuery,
)
from lockstream.core.use_cases.resubmit import in_order_of_occurrence
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.infrastructure.quarantine.store import FileQuarantine, open_quarantine
from lockstream.tests.crash.fault_report import CALLS, FULL, TAIL, FaultOutcome, FaultReport
from lockstream.tests.crash.late_reports import all_entries
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.builders import LOCKER, Body, as_array, deposited, registered, reserved
from lockstream.tests.support.histories import history
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server, needs_strace, traced, wait_until

STEP = 1 if FULL else 29
"""Distance of the bytes at which faults are tried."""

BITS = (0, 3, 6) if FULL else (0, 6)
"""Bits of a byte that are flipped, one at a time."""

NOT_WRITTEN, WRITTEN_AGAIN = "The quarantine cannot be written to disk", "The quarantine is written to disk again."

JSON = {"content-type": "application/json"}


def post(server: Server, body: Body) -> int:
    return server.post(json.dumps(body).encode())


def ids_in(server: Server) -> set[str]:
    """Return the event ids of all entries that a server shows."""
    return {entry["event_id"] for entry in all_entries(server)}


@pytest.fixture
def file(log_path: Path) -> Path:
    """A quarantine file with lines of every kind, beside its log."""
    events, refused = history(), [deposited(f"unknown-{number}") for number in range(4)]
    early = reserved("early", "c9")
    other = {**events[0], "occurred_at": "2026-11-23T09:15:01+01:00"}
    with restarted(log_path) as server:
        server.start()
        assert server.request("POST", "/events/batch", as_array(*events, *refused, early), JSON)[0] == 200
        assert (post(server, other), server.post(b"no event")) == (200, 422)
        assert ids_in(server) == {body["event_id"] for body in [*refused, early, other]}
        assert post(server, registered("c9")) == 202
        assert json.loads(server.request("POST", "/quarantine/resubmit")[2])["accepted"] == 1
        discarding = f"/quarantine/{refused[1]['event_id']}/discard"
        assert server.request("POST", discarding, b'{"reason":"a test"}', JSON)[0] == 200
        assert ids_in(server) == {body["event_id"] for body in [*refused, other]}
    path = quarantine_path(log_path)
    kinds = {json.loads(line)["line"] for line in path.read_bytes().splitlines()}
    assert kinds == {"entry", "left", "malformed", "totals"}
    return path


def entries_after_start(log: Path) -> dict[str, Entry]:
    """Open the quarantine of a log as a start does, and return its entries by event id."""
    records = list(read_log(log))

    def in_log(event_ids: Sequence[str]) -> list[AcceptedEvent]:
        return [AcceptedEvent(one.event, one.end.position) for one in records if one.event.event_id in event_ids]

    store = open_quarantine(log, QuarantineLimits(), in_log)
    found = [entry for status in EntryStatus for entry in store.entries(QuarantineQuery(status=status), None, 100)]
    store.close()
    in_order_of_occurrence(found)
    return {entry.event_id: entry for entry in found}


def problems_after_start(log: Path, damage: str) -> list[str]:
    """Return a sentence if a start fails, or if an entry is of an accepted event."""
    try:
        found = entries_after_start(log)
    except Exception as error:  # noqa: BLE001  # of any kind
        return [f"{damage}: {error!r}"]
    accepted = {record["event_id"] for record in audited(log)}
    return [f"{damage}: {one}" for one, entry in found.items() if one in accepted and entry.kind == "refused"]


def test_a_file_that_is_truncated_at_any_byte_loses_no_line_before(
    file: Path, log_path: Path, fault_report: FaultReport
) -> None:
    content, outcome = file.read_bytes(), FaultOutcome()
    ends = [index for index, byte in enumerate(content) if byte == ord("\n")]
    new = replace(next(iter(entries_after_start(log_path).values())), event_id=str(uuid4()), number=0)
    for length in sorted({*range(0, len(content), STEP), *ends}):
        # given the entries of the complete lines, of which the last one may lack its line end
        file.write_bytes(content[:length].rpartition(b"\n")[0] if length not in ends else content[:length] + b"\n")
        expected = entries_after_start(log_path)
        # when a start reads the truncated file, then it has those entries
        file.write_bytes(content[:length])
        outcome.faults += 1
        outcome.bricked += problems_after_start(log_path, f"truncated at byte {length}")
        assert entries_after_start(log_path) == expected, length
        # and what it writes is there after a second start
        store = FileQuarantine(QuarantineLimits(), file)
        store.write(QuarantineChanges(new.last_at, [new]))
        store.close()
        assert entries_after_start(log_path).keys() == {*expected, new.event_id}, length
    fault_report.add(TAIL, "the quarantine: truncated at a byte", outcome)
    outcome.assert_nothing_lost_or_bricked()


def test_a_flipped_bit_harms_one_line(file: Path, log_path: Path, fault_report: FaultReport) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    outcome, start = FaultOutcome(), 0
    for index, line in enumerate(lines):
        # given the entries of the other lines
        file.write_bytes(b"".join(lines[:index] + lines[index + 1 :]))
        others = entries_after_start(log_path)
        subject = subject_of(line)
        for place in range(-start % STEP, len(line), STEP):
            for bit in BITS:
                # when a bit of the line is flipped
                damaged = bytearray(line)
                damaged[place] ^= 1 << bit
                file.write_bytes(b"".join([*lines[:index], damaged, *lines[index + 1 :]]))
                # then a start succeeds, and has those entries
                outcome.faults += 1
                name = f"bit {bit} of byte {start + place}"
                outcome.bricked += (problems := problems_after_start(log_path, name))
                if not problems and place < len(line) - 1:  # without a line end, two lines are one
                    found = entries_after_start(log_path)
                    assert {key: found.get(key) for key in others if key != subject} == {
                        key: entry for key, entry in others.items() if key != subject
                    }, name
                remove_copies(file)
        start += len(line)
    fault_report.add(TAIL, "the quarantine: a bit flipped", outcome)
    outcome.assert_nothing_lost_or_bricked()


def remove_copies(file: Path) -> None:
    """Remove the copies of damaged files, with each of which a start compares another damaged file."""
    for copy in file.parent.glob(f"{file.name}.damaged*"):
        copy.unlink()


def subject_of(line: bytes) -> str | None:
    """Return the event id that a line is about."""
    content: Body = json.loads(line)
    event_id: str | None = content["entry"]["event_id"] if content["line"] == "entry" else content.get("event_id")
    return event_id


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "random bytes": lambda content: random.Random(1).randbytes(len(content)),
    "zeros": lambda content: bytes(len(content)),
    "zeros behind it": lambda content: content + bytes(4096),
    "zeros within it": lambda content: content[:700] + bytes(512) + content[1212:],
    "half a line behind it": lambda content: content + content[:100],
    "random bytes within it": lambda content: content[:700] + random.Random(2).randbytes(64) + content[764:],
    "deeply nested": lambda content: content + b"[" * 100_000 + b"\n",
    "lines of a log": lambda content: content + b'{"position":1,"chain":"x"}\n' * 3,
    "lines twice": lambda content: content + content,
    "lines in the opposite order": lambda content: b"".join(content.splitlines(keepends=True)[::-1]),
    "not UTF-8": lambda content: content.replace(b"unknown-2", b"unknown-\xff"),
    "an impossible time": lambda content: content.replace(b'"occurred_at":"2026-11-23', b'"occurred_at":"2026-11-93'),
    "no time": lambda content: content.replace(b'"occurred_at":"2026', b'"occurred_at":"x'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_server_starts_on_a_damaged_file_and_keeps_new_entries(
    damage: str, file: Path, log_path: Path, fault_report: FaultReport
) -> None:
    acknowledged = [record["event_id"] for record in audited(log_path)]
    # given a damaged file
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    # when a server starts, then it accepts and refuses events
    refused = deposited("still unknown")
    with restarted(log_path) as server:
        server.start()
        assert server.get("/health/ready")[0] == 200
        assert post(server, registered("new")) == 202
        assert post(server, refused) == 422
        # and the quarantine works
        assert refused["event_id"] in ids_in(server)
        assert server.request("POST", "/quarantine/resubmit")[0] == 200
        shown = all_entries(server)
    # and a second start gives the same entries
    with restarted(log_path) as server:
        server.start()
        assert all_entries(server) == shown
    # and the log has lost nothing
    records = [record["event_id"] for record in audited(log_path)]
    assert records[:-1] == acknowledged
    assert not set(records) & {entry["event_id"] for entry in shown if entry["kind"] == "refused"}
    fault_report.add(TAIL, "the quarantine: damaged as a whole", FaultOutcome(1, len(acknowledged)))


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSPC])
def test_a_server_starts_on_a_damaged_file_that_cannot_be_kept(
    error: int, file: Path, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may have no space for a copy."""

    def fail(source: object, target: object) -> None:
        raise OSError(error, os.strerror(error))

    intact = entries_after_start(log_path)
    with file.open("ab") as opened:
        opened.write(b"damaged\n")
    monkeypatch.setattr(shutil, "copyfile", fail)
    assert entries_after_start(log_path) == intact


FAULTS = {"write:error=ENOSPC": 2, "fdatasync:error=EIO": 2, "/^rename:error=EIO": 2}
"""Calls on the quarantine file that fail, and how often."""


LASTING = list(FAULTS)[: None if FULL else 1]


def under_fault(file: Path, fault: str, when: str) -> Sequence[str]:
    """Return a command under which calls on a quarantine file, or on a new one for its place, fail."""
    paths = ["-P", f"{file}.new"]
    call = fault.partition(":")[0]
    return traced(file.with_name("trace.txt"), file, *paths, "-e", f"trace={call}", "-e", f"inject={fault}:when={when}")


@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
def test_events_are_accepted_while_the_quarantine_cannot_be_written(
    fault: str, file: Path, log_path: Path, fault_report: FaultReport
) -> None:
    before = set(entries_after_start(log_path))
    with file.open("ab") as opened:
        opened.write(b'{"line":')  # torn, so that the first write replaces the file
    refused, bodies = [deposited(f"new-{number}") for number in range(3)], history("new")
    with Server(log_path, under=under_fault(file, fault, f"1..{FAULTS[fault]}")).start() as server:
        # given a server that cannot write its quarantine
        assert post(server, refused[0]) == 422
        wait_until(lambda: NOT_WRITTEN in server.stderr)
        # then events are accepted, the server is ready, and the entries are shown
        assert [post(server, body) for body in bodies] == [202] * len(bodies)
        assert server.get("/health/ready")[0] == 200
        assert ids_in(server) == before | {refused[0]["event_id"]}
        # when the disk works again, then they are written
        wait_until(lambda: WRITTEN_AGAIN in server.stderr)
        assert post(server, refused[1]) == 422
        assert ids_in(server) == before | {body["event_id"] for body in refused[:2]}
        # and there was one warning
        assert server.stderr.count(NOT_WRITTEN) == 1
        server.kill()
    assert set(entries_after_start(log_path)) == before | {body["event_id"] for body in refused[:2]}
    outcome = FaultOutcome(FAULTS[fault], len(audited(log_path)))
    fault_report.add(CALLS, "the quarantine cannot be written for a while", outcome)


@needs_strace
@pytest.mark.parametrize("fault", LASTING)
def test_a_quarantine_that_can_never_be_written_costs_no_event(
    fault: str, file: Path, log_path: Path, fault_report: FaultReport
) -> None:
    before = set(entries_after_start(log_path))
    with file.open("ab") as opened:
        opened.write(b'{"line":')
    acknowledged = len(audited(log_path))
    refused, bodies = deposited("new"), history("new")
    with Server(log_path, under=under_fault(file, fault, "1+")).start() as server:
        # given a server that can never write its quarantine
        assert post(server, refused) == 422
        assert ids_in(server) == before | {refused["event_id"]}
        # when it is used for some time, then events are accepted
        for body in bodies:
            assert post(server, body) == 202
            assert post(server, deposited("unknown")) == 422
            assert server.get("/quarantine")[0] == 200
        assert server.get("/health/ready")[0] == 200
        # and what cannot be kept is answered so
        discarding = server.request("POST", f"/quarantine/{refused['event_id']}/discard", b'{"reason":"a test"}', JSON)
        assert discarding[0] == 503
        # and there was one warning, and the server stops as usual
        assert server.stderr.count(NOT_WRITTEN) == 1
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr
    # then the entries of before are there after a restart, and all events
    assert set(entries_after_start(log_path)) == before
    with restarted(log_path) as server:
        server.start()
        assert server.get(f"/lockers/{LOCKER}")[0] == 200
        assert len(audited(log_path)) == acknowledged + len(bodies)
    fault_report.add(CALLS, "the quarantine can never be written", FaultOutcome(1, acknowledged + len(bodies)))
