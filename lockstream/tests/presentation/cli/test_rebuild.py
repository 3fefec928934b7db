"""`lockstream rebuild`."""

import re
from pathlib import Path

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.presentation.cli.killed_command import kill_after
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record

EVENTS = 20_000


def test_a_rebuild_replaces_the_projection(log_path: Path, run_command: RunCommand) -> None:
    # given
    record(log_path, history())
    projection = projection_path(log_path)
    old = projection.stat().st_ino
    # when
    result = run_command("rebuild")
    # then
    assert result.exit_code == 0
    assert re.fullmatch(r"The projection was rebuilt from 10 events, [1-9][\d,]* a second\.\n", result.errors)
    assert projection.stat().st_ino != old
    assert set(files_beside(log_path)) == {log_path.name, projection.name}
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_rebuild_counts_one_event_as_one_event(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history()[:1])
    assert "rebuilt from 1 event," in run_command("rebuild").errors


def test_a_damaged_log_leaves_the_old_projection_unchanged(log_path: Path, run_command: RunCommand) -> None:
    record(log_path, history())
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    before = files_beside(log_path)
    run_command("rebuild").assert_is_error("line 3")
    assert files_beside(log_path) == before


def test_a_killed_rebuild_leaves_files_that_a_start_can_use(log_path: Path, run_command: RunCommand) -> None:
    # given a rebuild that was killed half-way
    record(log_path, (registered(f"c{number}") for number in range(EVENTS)))
    expected = hashes_after_replay(log_path)
    projection = projection_path(log_path)
    old, unfinished = projection.read_bytes(), projection.with_name(f"{projection.name}.new")
    kill_after(EVENTS // 2, log_path, "rebuild", LOCKSTREAM_ROW_CACHE_ROWS="1000")
    # then the old projection is unchanged
    assert projection.read_bytes() == old
    assert unfinished.stat().st_size > len(old) // 4
    assert hashes_after_start(log_path) == expected
    # when the rebuild runs again
    assert run_command("rebuild").exit_code == 0
    # then it removes the unfinished projection
    assert not unfinished.exists()
    assert hashes_after_start(log_path) == expected
