"""Every byte of the last three records: either all acknowledged events are there, or the start is refused.

A refusal says where the damage is and what to do. No start destroys a byte.
"""

import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from lockstream.core.errors import LogDamaged
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, remove_projection
from lockstream.tests.crash.disk_image import LOG
from lockstream.tests.crash.fault_report import FULL, TAIL, FaultOutcome, FaultReport
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes, hashes_after_replay, history, record

EVENTS, LAST = 10, 3
"""Events in the log, and how many of the last ones are damaged."""

SEEN, GONE = "the projection has seen all", "the projection is gone"

each_projection = pytest.mark.parametrize("projection", [SEEN, GONE])


class Fault(NamedTuple):
    """A damaged log."""

    left: bytes
    """The bytes of the log after the fault."""

    acknowledged: int
    """Number of its first events that were acknowledged, and therefore must be there."""

    may_be_refused: bool = False
    """Whether a refusal is right although no acknowledged byte changed: complete lines at the end may be overwritten
    acknowledged ones."""


@pytest.fixture
def lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> list[bytes]:
    """Ten lines that the real store has written, in the folder `given`, which stays as it is."""
    caplog.set_level("ERROR", "lockstream")  # else each of thousands of recoveries logs a warning
    (tmp_path / "given").mkdir()
    record(tmp_path / "given" / LOG, history())
    return (tmp_path / "given" / LOG).read_bytes().splitlines(keepends=True)


@pytest.fixture
def foreign_line(tmp_path: Path) -> bytes:
    """The eleventh line of another log."""
    (tmp_path / "other").mkdir()
    record(tmp_path / "other" / LOG, [*history("other"), picked_up("other-parcel-3", locker="other")])
    return (tmp_path / "other" / LOG).read_bytes().splitlines(keepends=True)[EVENTS]


def start_on_each(folder: Path, projection: str, lines: list[bytes], faults: Iterable[Fault]) -> FaultOutcome:
    """Start on the log that each of `faults` has left."""
    outcome = FaultOutcome()
    for number, fault in enumerate(faults):
        log = folder / str(number) / LOG
        shutil.copytree(folder / "given", log.parent)
        if projection == GONE:
            remove_projection(projection_path(log))
        log.write_bytes(fault.left)
        outcome += start_on(log, fault, lines)
        shutil.rmtree(log.parent)
    return outcome


def start_on(log: Path, fault: Fault, lines: list[bytes]) -> FaultOutcome:
    acknowledged = b"".join(lines[: fault.acknowledged])
    outcome, before = FaultOutcome(1, fault.acknowledged), files_beside(log)
    try:
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            shown = hashes(store.reads)
    except LogDamaged as refusal:
        outcome.refused = 1
        outcome.bricked += missing_from_refusal(str(refusal), fault, log, lines)
        if fault.left.startswith(acknowledged) and not fault.may_be_refused:
            outcome.bricked.append(f"no acknowledged event was damaged: {refusal}")
        if files_beside(log) != before:
            outcome.lost.append("a refused start has changed a file")
        return outcome
    content, kept = log.read_bytes(), b"".join(path.read_bytes() for path in log.parent.glob("*.torn-*"))
    if not content.startswith(acknowledged):
        outcome.lost.append(f"an acknowledged event is gone without a word: {content[-100:]!r}")
    if content not in [b"".join(lines[:count]) for count in range(len(lines) + 1)]:
        outcome.lost.append(f"the log is not one that ever existed: {content[-100:]!r}")
    if fault.left not in (content + kept, content.removesuffix(b"\n") + kept):  # a missing line end is written
        outcome.lost.append(f"the truncated bytes are not kept: {kept[:100]!r}")
    if shown != hashes_after_replay(log):
        outcome.bricked.append("the store shows a state that the log does not give")
    return outcome


def missing_from_refusal(refusal: str, fault: Fault, log: Path, lines: list[bytes]) -> list[str]:
    """Return the parts that a refusal lacks: the log, the first wrong line, its offset, and the command to run."""
    right = 0
    while right < len(lines) and (fault.left + b"\n").startswith(b"".join(lines[: right + 1])):
        right += 1
    place = f"{log} is damaged at line {right + 1} (byte offset {len(b''.join(lines[:right]))}): "
    remedy = "`lockstream rebuild`" if "acknowledged event" in refusal else "`lockstream repair`"
    return [f"{wanted} is not in: {refusal}" for wanted in (place, remedy) if wanted not in refusal]


def tail_offsets(lines: list[bytes]) -> Iterable[int]:
    """Return the offsets of the last records' bytes: all, or many of them with those around each line end."""
    begin, end = len(b"".join(lines[:-LAST])), len(b"".join(lines))
    line_ends = [len(b"".join(lines[:count])) for count in range(EVENTS - LAST, EVENTS + 1)]
    near_line_ends = {at + by for at in line_ends for by in (-3, -2, -1, 0, 1) if begin <= at + by < end}
    return range(begin, end) if FULL else sorted({*range(begin, end, 13), *near_line_ends})


def truncated(lines: list[bytes], projection: str) -> Iterator[Fault]:
    """Yield the log truncated at each byte. Without a projection, only its complete records are known acknowledged."""
    whole = b"".join(lines)
    for length in tail_offsets(lines):
        left = whole[:length] + b"\n"  # a complete record may lack its line end
        complete = max(count for count in range(EVENTS + 1) if left.startswith(b"".join(lines[:count])))
        yield Fault(whole[:length], EVENTS if projection == SEEN else complete)


def with_flipped_bits(lines: list[bytes]) -> Iterator[Fault]:
    """Yield the log with each bit flipped; or one bit of each byte, and all bits of braces and line ends."""
    whole = b"".join(lines)
    for index in tail_offsets(lines):
        for bit in range(8) if FULL or whole[index] in b"\n}" else [index % 8]:
            damaged = bytearray(whole)
            damaged[index] ^= 1 << bit
            yield Fault(bytes(damaged), EVENTS)


def rearranged(lines: list[bytes], projection: str) -> Iterator[Fault]:
    """Yield the log with each line repeated, with each left out, and with each two swapped."""
    last = range(EVENTS - LAST, EVENTS)
    for index in last:
        for target in range(index + 1, EVENTS + 1):
            yield Fault(b"".join([*lines[:target], lines[index], *lines[target:]]), EVENTS, may_be_refused=True)
        left = b"".join([*lines[:index], *lines[index + 1 :]])
        is_an_older_log = index == EVENTS - 1 and projection == GONE
        yield Fault(left, EVENTS - is_an_older_log)
    for one, other in combinations(last, 2):
        swapped = list(lines)
        swapped[one], swapped[other] = lines[other], lines[one]
        yield Fault(b"".join(swapped), EVENTS)


def torn_tails(foreign_line: bytes) -> Iterator[bytes]:
    """Yield the tails that an interrupted write may leave, and garbage of at most one line."""
    yield from (b"\x00" * size for size in (1, 2, 511, 512, 513, 4096, 5000, 100_000))
    sizes = range(1, len(foreign_line), 1 if FULL else 17)
    yield from (foreign_line[:size] for size in [*sizes, len(foreign_line) - 1])
    yield from (foreign_line[:size] + b"\x00" * (4096 - size) for size in sizes)
    chance = random.Random(20261123)
    for size in [*range(1, 20), 512, 4096, 100_000]:
        yield chance.randbytes(size).replace(b"\n", b"\r")
    yield from (b"garbage\n", b"\n", b"{}\n", b"\r\n", b"null\n", b'{"event_id":1}\n')


def complete_lines(lines: list[bytes], foreign_line: bytes) -> Iterator[bytes]:
    """Yield tails that may be acknowledged records which were overwritten."""
    yield from (foreign_line, foreign_line + foreign_line, foreign_line + foreign_line[:100])
    yield from (b"one\ntwo\n", b"\n\n", b"one\ntwo")
    yield from (lines[0], lines[-1], lines[-1] + lines[-1][:-1], b"".join(lines))
    chance = random.Random(20261124)
    yield from (chance.randbytes(size) + b"\n\xff" + chance.randbytes(size) for size in (1, 10, 512, 4096))


@each_projection
def test_a_start_recovers_or_refuses_a_log_truncated_at_any_byte(
    lines: list[bytes], projection: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    outcome = start_on_each(tmp_path, projection, lines, truncated(lines, projection))
    fault_report.add(TAIL, f"log truncated at a byte; {projection}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert (outcome.refused == 0) == (projection == GONE), "only the projection tells a loss from a torn write"


@each_projection
def test_a_start_refuses_a_log_with_any_flipped_bit(
    lines: list[bytes], projection: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    outcome = start_on_each(tmp_path, projection, lines, with_flipped_bits(lines))
    fault_report.add(TAIL, f"a bit flipped; {projection}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert outcome.faults - outcome.refused == 8, "a start can only correct the last line end"


@each_projection
def test_a_start_refuses_a_log_with_repeated_missing_or_swapped_lines(
    lines: list[bytes], projection: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    outcome = start_on_each(tmp_path, projection, lines, rearranged(lines, projection))
    fault_report.add(TAIL, f"lines repeated, left out, swapped; {projection}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert outcome.faults - outcome.refused == (projection == GONE)


@each_projection
def test_a_start_truncates_any_torn_tail_and_keeps_it(
    lines: list[bytes], foreign_line: bytes, projection: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    whole = b"".join(lines)
    faults = (Fault(whole + tail, EVENTS) for tail in torn_tails(foreign_line))
    outcome = start_on_each(tmp_path, projection, lines, faults)
    fault_report.add(TAIL, f"zeros, half a line or garbage after the last line; {projection}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert outcome.refused == 0


@each_projection
def test_a_start_refuses_complete_lines_that_do_not_follow_the_last_one(
    lines: list[bytes], foreign_line: bytes, projection: str, tmp_path: Path, fault_report: FaultReport
) -> None:
    whole = b"".join(lines)
    tails = list(complete_lines(lines, foreign_line))
    faults = (Fault(whole + tail, EVENTS, may_be_refused=True) for tail in tails)
    outcome = start_on_each(tmp_path, projection, lines, faults)
    fault_report.add(TAIL, f"complete lines, such as another log's, after the last line; {projection}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert outcome.refused == len(tails)
