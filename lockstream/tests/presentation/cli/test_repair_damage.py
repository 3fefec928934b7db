"""`lockstream repair` and a start find the same damage."""

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
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start

type Lines = list[bytes]


def joined(lines: Lines) -> Lines:
    """Return a log in which the line end of the ninth line was overwritten, and the tenth line has none."""
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
    ids=["the last line", "the first line", "a missing line", "two lines in one", "an unknown type, rightly chained"],
)
def test_repair_drops_every_kind_of_damage_that_a_start_refuses(
    log_path: Path, run_command: RunCommand, lines: Lines, damage: Callable[[Lines], Lines], left: int
) -> None:
    log_path.write_bytes(b"".join(damage(lines)))
    with pytest.raises(LogDamaged):
        hashes_after_start(log_path)
    assert run_command("repair", "--yes").exit_code == 0
    assert log_path.read_bytes() == b"".join(lines[:left])
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def starts(log: Path) -> bool:
    try:
        LogWriter(log).close()
    except LogDamaged:
        return False
    return True


def test_repair_finds_damage_in_exactly_the_logs_that_a_start_refuses(log_path: Path, lines: Lines) -> None:
    """Flips one bit at a time. A start accepts a log that repair finds whole, and refuses any other."""
    whole = b"".join(lines)
    line_ends = [len(b"".join(lines[:number])) - 1 for number in range(1, 11)]
    remove_database(projection_path(log_path))
    repaired = 0
    for index in [*range(0, len(whole), 29), *line_ends]:
        # given
        content = bytearray(whole)
        content[index] ^= 1 << (index % 8)
        log_path.write_bytes(content)
        # when
        with closing(Repair(log_path)) as repair:
            report = repair.examine(lambda reached, end: None)
            assert log_path.read_bytes() == content
            if not report.is_whole:
                repair.apply(report)
                repaired += 1
                assert whole.startswith(log_path.read_bytes())
                log_path.write_bytes(content)
        # then
        assert starts(log_path) == report.is_whole, index
        for path in log_path.parent.glob("*.*-*"):
            path.unlink()
    assert repaired > len(whole) // 29


def test_repair_keeps_dropped_bytes_with_the_permissions_of_the_log(
    log_path: Path, run_command: RunCommand, lines: Lines
) -> None:
    log_path.write_bytes(b"".join(lines[1:]))
    log_path.chmod(0o600)
    assert run_command("repair", "--yes").exit_code == 0
    assert [path.stat().st_mode & 0o777 for path in log_path.parent.glob("*.dropped-*")] == [0o600]
