"""The replay of `verify`: bounded memory, and temporary files that nobody has to remove."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import cast

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import ReplayFailed
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.catch_up import CHUNK_RECORDS
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.presentation.cli.main import main
from lockstream.services.commands import replay as module
from lockstream.services.commands.replay import TEMPORARY_BYTES, Replay, replaying
from lockstream.services.commands.verify import verify_file
from lockstream.tests.support.builders import RECORDED_AT, Body, event, registered
from lockstream.tests.support.histories import hashes_after_start, history, record

LOCKERS = 3 * CHUNK_RECORDS // 10
LONG_HISTORY = [body for number in range(LOCKERS) for body in history(f"station-{number:03}")]
"""Three chunks of events."""


def write(log: Path, bodies: list[Body]) -> None:
    """Write a log whose positions and chain values are right."""
    lines, _ = encode_lines([event(body) for body in bodies], "2026-11-23T08:15:00.000000Z", START)
    log.write_bytes(b"".join(lines))


def rows_in_memory(replay: Replay) -> int:
    return replay._cache.rows + replay._cache.changed_count


def test_the_rows_in_memory_are_bounded_at_any_length_of_the_log(
    log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a bound that is smaller than the rows of the log
    write(log_path, LONG_HISTORY)
    monkeypatch.setattr(module, "CACHED_ROWS", 500)
    held: list[int] = []
    # when the log is replayed
    read = partial(read_log, log_path)
    with replaying(log_path.parent, 0, read, lambda _: held.append(rows_in_memory(replay))) as replay:
        replay.advance()
        # then memory holds the rows of one chunk at most, beside those of the bound, and the ids are on disk
        assert max(held) < 500 + 3 * CHUNK_RECORDS
        assert not replay._cache.ids.memtable
        assert replay.rows.locker_count() == LOCKERS


def test_a_log_longer_than_the_row_cache_equals_its_projection(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log_path, LONG_HISTORY)
    hashes_after_start(log_path)
    monkeypatch.setattr(module, "CACHED_ROWS", 500)
    found = verify_file(log_path, ignore_progress)
    assert (found.problems, found.events, found.lockers) == ([], len(LONG_HISTORY), LOCKERS)


def test_all_uses_of_an_id_are_named_with_the_first_one_in_the_order_of_the_log(log_path: Path) -> None:
    """A repetition is found by sorting all ids at the end, far from the first use."""
    first, second = LONG_HISTORY[0], LONG_HISTORY[10]
    write(log_path, [*LONG_HISTORY, registered("c1", locker="station-002"), second, first, second])
    end = len(LONG_HISTORY)
    assert [problem.split(". ")[0] for problem in verify_file(log_path, ignore_progress).problems] == [
        f"The event at position {end + 1} could not have been accepted: compartment_already_registered",
        f"Event {second['event_id']} is in the log twice, at positions 11 and {end + 2}",
        f"Event {first['event_id']} is in the log twice, at positions 1 and {end + 3}",
        f"Event {second['event_id']} is in the log twice, at positions 11 and {end + 4}",
    ]


def test_a_projection_that_cannot_be_read_does_not_stop_the_replay_of_later_events(log_path: Path) -> None:
    # given a projection with an impossible value, and a log with an event after it that the rules refuse
    record(log_path, history())
    with closing(sqlite3.connect(projection_path(log_path))) as database, database:
        database.execute("UPDATE reservations SET status = 'LOST'")
    with closing(LogWriter(log_path)) as log:
        log.append([event(registered("c1"))], RECORDED_AT)
    # when
    refused, unreadable = verify_file(log_path, ignore_progress).problems
    # then both are named
    assert "at position 11 could not have been accepted" in refused
    assert "cannot be read" in unreadable


def test_the_write_ahead_log_of_a_server_can_begin_anew_during_the_replay(log_path: Path) -> None:
    """A snapshot that is open for hours would let it grow for hours."""
    busy: list[int] = []

    def begin_anew(reached: int, end: int) -> None:
        with closing(sqlite3.connect(projection_path(log_path))) as other:
            [(is_busy, _, _)] = other.execute("PRAGMA wal_checkpoint(RESTART)")
            busy.append(is_busy)

    with closing(EmbeddedStore(log_path, 1_000)) as store:
        ingest([event(body) for body in history()], store.unit_of_work())
        store.checkpoint()
        assert verify_file(log_path, begin_anew).problems == []
    assert busy == [0]


def test_no_temporary_file_has_a_name_during_the_replay_or_after_it(log_path: Path) -> None:
    record(log_path, history())
    seen: list[set[str]] = []
    verify_file(log_path, lambda reached, end: seen.append(names_beside(log_path)))
    assert [*seen, names_beside(log_path)] == [set(), set()]
    assert open_temporary_files() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupt_leaves_no_file(log_path: Path, error: type[BaseException]) -> None:
    record(log_path, history())

    def interrupt(reached: int, end: int) -> None:
        assert open_temporary_files()
        raise error

    with pytest.raises(error):
        verify_file(log_path, interrupt)
    assert names_beside(log_path) == set()
    assert open_temporary_files() == []


@pytest.mark.parametrize("cached_rows", [1, 1000], ids=["during the replay", "at its end"])
def test_a_full_disk_is_named_with_the_folder(
    log_path: Path, cached_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log_path, LONG_HISTORY[:500])
    monkeypatch.setattr(module, "CACHED_ROWS", cached_rows)
    with replaying(log_path.parent, 0, partial(read_log, log_path), lambda _: None) as replay:
        driver = cast(sqlite3.Connection, replay._stored._writing.connection.driver_connection)
        driver.execute("PRAGMA max_page_count = 1")
        with pytest.raises(ReplayFailed, match=r"verify` in .* cannot be written \(database or disk is full\)"):
            replay.advance()


def test_a_disk_without_room_for_the_temporary_files_is_named_before_they_are_written(log_path: Path) -> None:
    free = disk_usage(log_path.parent).free
    with (
        pytest.raises(ReplayFailed, match=r"they need some [\d,]+ bytes, and the disk has [\d,]+ free"),
        replaying(log_path.parent, 2 * free // TEMPORARY_BYTES, partial(read_log, log_path), lambda _: None),
    ):
        pass
    assert names_beside(log_path) == set()


def test_a_folder_that_cannot_be_written_is_named(
    log_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a log in a folder that nobody may write
    write(log_path, history())

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied", str(log_path.parent / "temporary"))

    monkeypatch.setattr(module, "TemporaryDirectory", refuse)
    # when
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    # then
    assert ended.value.code == 1
    assert f"in {log_path.parent} cannot be written (Permission denied). Make sure" in capsys.readouterr().err


def open_temporary_files() -> list[str]:
    """Return the files of a replay that this process has open, which no name leads to."""
    targets = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for target in targets if ".lockstream-verify-" in target]


def names_beside(log: Path) -> set[str]:
    """Return the names of all files and folders beside a log, except those of its projection."""
    names = {path.name for path in log.parent.iterdir() if not path.name.startswith(projection_path(log).name)}
    return names - {log.name}
