"""The search for lines of a log file: how few reads it needs. `test_log_reader` has logs of any lengths and damages."""

import os
from pathlib import Path
from random import Random

import pytest

from lockstream.infrastructure.file_log.line_search import LOG_START, MissingLine, find_line, find_lines
from lockstream.tests.infrastructure.file_log.log_files import written

EVENTS = 5_000


class Reads:
    """Counts the reads of files."""

    def __init__(self) -> None:
        self.number = 0
        self._pread = os.pread

    def pread(self, file: int, count: int, offset: int) -> bytes:
        self.number += 1
        return self._pread(file, count, offset)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted = Reads()
    monkeypatch.setattr(os, "pread", counted.pread)
    return counted


def test_a_page_of_lines_takes_few_reads(tmp_path: Path, reads: Reads) -> None:
    random = Random(1)
    with written(tmp_path / "log", [random.randint(1, 120) for _ in range(EVENTS)]) as (file, _, end):
        # given a hundred positions anywhere in a log whose lines have unequal lengths
        positions = sorted(random.sample(range(1, EVENTS + 1), 100))
        log = (tmp_path / "log").read_bytes()
        # when their lines are found
        found = {line.position: line for line in find_lines(file, positions, LOG_START, (EVENTS + 1, end.offset))}
        # then each is the right line, with the line before it
        lines = [b"", *log.splitlines(keepends=True)]
        assert sorted(found) == positions
        for position, line in found.items():
            assert (line.text, line.before) == (lines[position], lines[position - 1])
            assert log[line.start :].startswith(line.text)
        # and there were fewer than two reads a line
        assert reads.number < 2 * len(positions)


def test_a_search_ends_at_the_first_line_that_a_log_lacks(tmp_path: Path, reads: Reads) -> None:
    with written(tmp_path / "log", [10] * 400) as (file, _, end):
        # given a log that lost most of its lines
        lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
        (tmp_path / "log").write_bytes(b"".join(lines[:19] + lines[380:]))
        log_end = 401, end.offset
        for position in (20, 380, 401):
            assert find_line(file, position, LOG_START, log_end) is None
        # when many of them are to be found
        reads.number = 0
        with pytest.raises(MissingLine) as caught:
            list(find_lines(file, range(1, 400), LOG_START, log_end))
        # then the first one that is missing ends the search
        assert caught.value.position == 200
        assert reads.number < 20


def test_a_search_in_a_file_without_lines_ends(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 100_000)
    file = os.open(tmp_path / "log", os.O_RDONLY)
    for size in (100_000, 200_000):  # the second one is of a file that was truncated
        assert find_line(file, 7, LOG_START, (500, size)) is None
    os.close(file)
