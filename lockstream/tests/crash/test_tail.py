"""Every byte of the last three records: what was acknowledged is all there, or the start is refused, and says where
the damage is and what to do. There is no third outcome, and no byte is destroyed.
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
from lockstream.infrastructure.stores.embedded import EmbeddedStore, remove_projection
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.crash.power import LOG
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes, hashes_after_replay, history, record

EVENTS, LAST = 10, 3
"""In the log, and how many of them are harmed."""

KNOWN, UNKNOWN = "the projection has seen all", "the projection is gone"

each_given = pytest.mark.parametrize("given", [KNOWN, UNKNOWN])


class Fault(NamedTuple):
    """What somebody, or a disk, has made of the log."""

    left: bytes
    acknowledged: int
    """How many of its events were acknowledged, so that they must be there."""

    dubious: bool = False
    """Whether it may be refused all the same: whole lines stand there that may have been acknowledged ones."""


@pytest.fixture
def lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> list[bytes]:
    """Ten lines that the real system has written, in a folder that stays as it is."""
    caplog.set_level("ERROR", "lockstream")  # thousands of warnings help nobody
    (tmp_path / "given").mkdir()
    record(tmp_path / "given" / LOG, history())
    return (tmp_path / "given" / LOG).read_bytes().splitlines(keepends=True)


@pytest.fixture
def foreign(tmp_path: Path) -> bytes:
    """The eleventh line of another log."""
    (tmp_path / "other").mkdir()
    record(tmp_path / "other" / LOG, [*history("other"), picked_up("other-parcel-3", locker="other")])
    return (tmp_path / "other" / LOG).read_bytes().splitlines(keepends=True)[EVENTS]


def fates(folder: Path, given: str, lines: list[bytes], faults: Iterable[Fault]) -> Fate:
    """Start on what each of `faults` has left."""
    found = Fate()
    for number, fault in enumerate(faults):
        log = folder / str(number) / LOG
        shutil.copytree(folder / "given", log.parent)
        if given == UNKNOWN:
            remove_projection(log.with_name(f"{LOG}.projection.sqlite"))
        log.write_bytes(fault.left)
        found += fate_of(log, fault, lines)
        shutil.rmtree(log.parent)
    return found


def fate_of(log: Path, fault: Fault, lines: list[bytes]) -> Fate:
    acknowledged = b"".join(lines[: fault.acknowledged])
    found, before = Fate(1, fault.acknowledged), files_beside(log)
    try:
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            shown = hashes(store.queries)
    except LogDamaged as refusal:
        found.refused = 1
        found.bricked += wrong_with(refusal, fault, log, lines)
        if fault.left.startswith(acknowledged) and not fault.dubious:
            found.bricked.append(f"nothing acknowledged was damaged: {refusal}")
        if files_beside(log) != before:
            found.lost.append("a start that was refused has changed something")
        return found
    content, kept = log.read_bytes(), b"".join(path.read_bytes() for path in log.parent.glob("*.torn-*"))
    if not content.startswith(acknowledged):
        found.lost.append(f"acknowledged, and gone without a word: {content[-100:]!r}")
    if content not in [b"".join(lines[:count]) for count in range(len(lines) + 1)]:
        found.lost.append(f"no state before or after: {content[-100:]!r}")
    if fault.left not in (content + kept, content.removesuffix(b"\n") + kept):  # a missing line end was written
        found.lost.append(f"what was cut off is not kept: {kept[:100]!r}")
    if shown != hashes_after_replay(log):
        found.bricked.append("it shows a state of its own")
    return found


def wrong_with(refusal: LogDamaged, fault: Fault, log: Path, lines: list[bytes]) -> list[str]:
    """It must name the file, the first line that is not what was written, where that begins, and what to do."""
    right = 0
    while right < len(lines) and (fault.left + b"\n").startswith(b"".join(lines[: right + 1])):
        right += 1
    place = f"{log} is damaged at line {right + 1} (byte offset {len(b''.join(lines[:right]))}): "
    said = str(refusal)
    wanted = (place, "`lockstream rebuild`" if "were acknowledged" in said else "`lockstream repair`")
    return [f"{one} is not in: {said}" for one in wanted if one not in said]


def tail(lines: list[bytes]) -> Iterable[int]:
    """Where the bytes of the last records are: each byte, or many of them with all about each line end."""
    begin, end = len(b"".join(lines[:-LAST])), len(b"".join(lines))
    ends = [len(b"".join(lines[:count])) for count in range(EVENTS - LAST, EVENTS + 1)]
    near = {at + by for at in ends for by in (-3, -2, -1, 0, 1) if begin <= at + by < end}
    return range(begin, end) if FULL else sorted({*range(begin, end, 13), *near})


def cut_short(lines: list[bytes], given: str) -> Iterator[Fault]:
    """At each byte. Without a projection it may be a torn write, of which only whole records were acknowledged."""
    whole = b"".join(lines)
    for length in tail(lines):
        left = whole[:length] + b"\n"  # a record may lack its line end
        there = max(count for count in range(EVENTS + 1) if left.startswith(b"".join(lines[:count])))
        yield Fault(whole[:length], EVENTS if given == KNOWN else there)


def flipped(lines: list[bytes]) -> Iterator[Fault]:
    """Each bit, or one of each byte and all of each line end."""
    whole = b"".join(lines)
    for index in tail(lines):
        for bit in range(8) if FULL or whole[index] in b"\n}" else [index % 8]:
            harmed = bytearray(whole)
            harmed[index] ^= 1 << bit
            yield Fault(bytes(harmed), EVENTS)


def rearranged(lines: list[bytes], given: str) -> Iterator[Fault]:
    """Each of the lines repeated, or left out; each two of them swapped."""
    last = range(EVENTS - LAST, EVENTS)
    for at in last:
        for to in range(at + 1, EVENTS + 1):
            yield Fault(b"".join([*lines[:to], lines[at], *lines[to:]]), EVENTS, dubious=True)
        left = b"".join([*lines[:at], *lines[at + 1 :]])
        older = at == EVENTS - 1 and given == UNKNOWN  # a log from before that event was taken in is the same
        yield Fault(left, EVENTS - older)
    for one, other in combinations(last, 2):
        swapped = list(lines)
        swapped[one], swapped[other] = lines[other], lines[one]
        yield Fault(b"".join(swapped), EVENTS)


def torn(foreign: bytes) -> Iterator[bytes]:
    """What a write that was not finished may leave behind the last line, and garbage without a line end."""
    yield from (b"\x00" * size for size in (1, 2, 511, 512, 513, 4096, 5000, 100_000))
    sizes = range(1, len(foreign), 1 if FULL else 17)
    yield from (foreign[:size] for size in [*sizes, len(foreign) - 1])
    yield from (foreign[:size] + b"\x00" * (4096 - size) for size in sizes)
    chance = random.Random(20261123)
    for size in [*range(1, 20), 512, 4096, 100_000]:
        yield chance.randbytes(size).replace(b"\n", b"\r")
    yield from (b"garbage\n", b"\n", b"{}\n", b"\r\n", b"null\n", b'{"event_id":1}\n')


def whole_lines(lines: list[bytes], foreign: bytes) -> Iterator[bytes]:
    """What nobody can tell from acknowledged records that were overwritten."""
    yield from (foreign, foreign + foreign, foreign + foreign[:100], b"one\ntwo\n", b"\n\n", b"one\ntwo")
    yield from (lines[0], lines[-1], lines[-1] + lines[-1][:-1], b"".join(lines))
    chance = random.Random(20261124)
    yield from (chance.randbytes(size) + b"\n\xff" + chance.randbytes(size) for size in (1, 10, 512, 4096))


@each_given
def test_cut_short_at_each_byte(lines: list[bytes], given: str, tmp_path: Path, tally: Tally) -> None:
    found = fates(tmp_path, given, lines, cut_short(lines, given))
    tally("1", f"cut short at a byte; {given}", found)
    found.assert_none_lost_and_none_bricked()
    assert (found.refused == 0) == (given == UNKNOWN), "only the projection tells a loss from a torn write"


@each_given
def test_each_bit_flipped(lines: list[bytes], given: str, tmp_path: Path, tally: Tally) -> None:
    found = fates(tmp_path, given, lines, flipped(lines))
    tally("1", f"a bit flipped; {given}", found)
    found.assert_none_lost_and_none_bricked()
    assert found.faults - found.refused == 8, "only the last line end can be mended"


@each_given
def test_lines_repeated_left_out_and_swapped(lines: list[bytes], given: str, tmp_path: Path, tally: Tally) -> None:
    found = fates(tmp_path, given, lines, rearranged(lines, given))
    tally("1", f"lines repeated, left out, swapped; {given}", found)
    found.assert_none_lost_and_none_bricked()
    assert found.faults - found.refused == (given == UNKNOWN)


@each_given
def test_something_torn_behind_the_last_line(
    lines: list[bytes], foreign: bytes, given: str, tmp_path: Path, tally: Tally
) -> None:
    whole = b"".join(lines)
    found = fates(tmp_path, given, lines, (Fault(whole + end, EVENTS) for end in torn(foreign)))
    tally("1", f"zeros, half a line or binary behind it; {given}", found)
    found.assert_none_lost_and_none_bricked()
    assert found.refused == 0


@each_given
def test_whole_lines_behind_the_last_one(
    lines: list[bytes], foreign: bytes, given: str, tmp_path: Path, tally: Tally
) -> None:
    whole = b"".join(lines)
    ends = list(whole_lines(lines, foreign))
    found = fates(tmp_path, given, lines, (Fault(whole + end, EVENTS, dubious=True) for end in ends))
    tally("1", f"whole lines, as of another log, behind it; {given}", found)
    found.assert_none_lost_and_none_bricked()
    assert found.refused == len(ends)
