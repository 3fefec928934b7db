"""`lockstream repair` and a start agree on what is damaged."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogDamaged
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.sqlite.database import remove_database
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.repair import Repair
from lockstream.tests.crash.test_damage import chained_anew
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record

type Lines = list[bytes]


@pytest.fixture
def lines(log_path: Path) -> Lines:
    """Ten lines that the real system has written to the log."""
    record(log_path, history())
    return log_path.read_bytes().splitlines(keepends=True)


def joined(lines: Lines) -> Lines:
    """The line end of the last but one was overwritten, and the last has none."""
    return [*lines[:8], lines[8][:-1] + b"X" + lines[9][:-1]]


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda lines: [*lines[:9], lines[9].replace(b"parcel-3", b"parcel-4")], 9),
        (lambda lines: [lines[0].replace(b"c1", b"c7")], 0),
        (lambda lines: [*lines[:5], *lines[6:]], 5),
        (joined, 8),
        (lambda lines: chained_anew(lines, 10, b'"ParcelDeposited"', b'"NeverHeardOf"'), 9),
    ],
    ids=["the last line", "the first line", "a missing line", "two lines in one", "no event, rightly chained"],
)
def test_other_damage_is_cut_off_too(
    log_path: Path, run: Run, lines: Lines, damage: Callable[[Lines], Lines], left: int
) -> None:
    log_path.write_bytes(b"".join(damage(lines)))
    with pytest.raises(LogDamaged):
        hashes_after_start(log_path)
    assert run("repair", "--yes").code == 0
    assert log_path.read_bytes() == b"".join(lines[:left])
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def starts(log: Path) -> bool:
    try:
        LogWriter(log).close()
    except LogDamaged:
        return False
    return True


def test_it_finds_damage_exactly_where_a_start_does(log_path: Path, lines: Lines) -> None:
    """Whichever bit is flipped: a log that a start takes is whole, and any other can be started after a repair."""
    whole = b"".join(lines)
    remove_database(projection_path(log_path))
    cut = 0
    for index in [*range(0, len(whole), 29), *(len(b"".join(lines[:number])) - 1 for number in range(1, 11))]:
        content = bytearray(whole)
        content[index] ^= 1 << (index % 8)
        log_path.write_bytes(content)
        with closing(Repair(log_path)) as repair:
            found = repair.examine(lambda reached: None)
            assert log_path.read_bytes() == content
            if not found.whole:
                repair.carry_out(found)
                cut += 1
                assert whole.startswith(log_path.read_bytes())
        if found.whole:
            assert starts(log_path), index
        else:
            log_path.write_bytes(content)
            assert not starts(log_path), index
        for path in log_path.parent.glob("*.*-*"):
            path.unlink()
    assert cut > len(whole) // 29


def test_what_is_cut_off_is_for_the_same_readers_as_the_log(log_path: Path, run: Run, lines: Lines) -> None:
    log_path.write_bytes(b"".join(lines[1:]))
    log_path.chmod(0o600)
    assert run("repair", "--yes").code == 0
    assert [path.stat().st_mode & 0o777 for path in log_path.parent.glob("*.dropped-*")] == [0o600]
