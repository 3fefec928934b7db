"""The ids of events are found by position, however the lengths of lines differ."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.file_log.reader import ids_from
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.memory import MemoryLog
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import event, registered

LENGTHS = st.one_of(st.just(1), st.integers(1, 400), st.integers(1, 9_000), st.just(80_000))
"""Of a note in an event, in bytes: some lines are longer than all that is read in one go."""


@contextmanager
def written(path: Path, lengths: list[int]) -> Iterator[tuple[int, list[str], Cursor]]:
    """A log of events with notes of these lengths: its file, the ids in order, and its end."""
    events = [event(registered(str(number), note="x" * length)) for number, length in enumerate(lengths)]
    lines, end = encode_lines(events, "2026-11-23T08:15:00Z", START)
    path.write_bytes(lines)
    file = os.open(path, os.O_RDONLY)
    try:
        yield file, [one.event_id for one in events], end
    finally:
        os.close(file)


def expected(ids: list[str], first: int, count: int) -> dict[str, int]:
    return dict(zip(ids[first - 1 : first - 1 + count], range(first, len(ids) + 1), strict=False))


@budget(150)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=60), data=st.data())
def test_each_position_is_found_whatever_the_lines_before_it_are_like(lengths: list[int], data: st.DataObject) -> None:
    with TemporaryDirectory() as directory, written(Path(directory) / "log", lengths) as (file, ids, end):
        first, count = data.draw(st.integers(1, len(ids))), data.draw(st.integers(1, 70))
        assert ids_from(file, first, count, end) == expected(ids, first, count)


@pytest.mark.parametrize(
    "lengths",
    [
        [1] * 500,
        [200_000, *[1] * 300],
        [*[1] * 300, 200_000],
        [*[1] * 150, 200_000, *[1] * 150],
        [1, 3_000] * 100,
        [2**number for number in range(18)],
        [2**number for number in reversed(range(18))],
    ],
    ids=["alike", "long first", "long last", "long between", "in turn", "growing", "shrinking"],
)
def test_every_position_is_found(tmp_path: Path, lengths: list[int]) -> None:
    with written(tmp_path / "log", lengths) as (file, ids, end):
        for first in range(1, len(ids) + 1):
            assert ids_from(file, first, 1, end) == expected(ids, first, 1)
        assert ids_from(file, 1, 10**6, end) == expected(ids, 1, len(ids))
        assert ids_from(file, len(ids) + 1, 64, end) == {}


def test_what_is_written_behind_the_end_is_not_looked_at(tmp_path: Path) -> None:
    with written(tmp_path / "log", [10] * 20) as (file, ids, end):
        os.truncate(tmp_path / "log", end.offset - 1)
        with pytest.raises(StoreUnavailable, match="shorter"):
            ids_from(file, 15, 64, end)
        assert ids_from(file, 15, 5, end) == expected(ids, 15, 5)


def test_a_log_that_cannot_be_read_is_unavailable_and_not_empty(log_path: Path) -> None:
    with closing(LogWriter(log_path)) as log:
        log.append([event(registered())])
        log.flush()
        healthy = os.dup(log._file)
        unreadable = os.open(log_path, os.O_WRONLY | os.O_APPEND)
        os.dup2(unreadable, log._file)
        with pytest.raises(StoreUnavailable, match=str(log_path)):
            log.ids(1, 64)
        os.dup2(healthy, log._file)
        assert len(log.ids(1, 64)) == 1
        os.close(healthy)
        os.close(unreadable)


@pytest.mark.parametrize("make", [lambda path: MemoryLog(), LogWriter], ids=["memory", "file"])
def test_a_block_that_the_log_ended_in_is_read_again_once_there_is_more(log_path: Path, make: type) -> None:
    log = make(log_path)
    events = [event(registered(str(number))) for number in range(130)]
    for stop in (1, 3, 64, 65, 130):
        log.append(events[log.end.position : stop])
        for first in (1, 65, 129):
            wanted = {one.event_id: at for at, one in enumerate(events[:stop], 1) if first <= at < first + 64}
            assert log.ids(first, 64) == wanted
    if isinstance(log, LogWriter):
        log.close()
