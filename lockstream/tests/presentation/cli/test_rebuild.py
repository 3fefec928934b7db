"""`lockstream rebuild`."""

import signal
import subprocess
import sys
from pathlib import Path

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.builders import registered
from lockstream.tests.support.histories import files_beside, hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import environment

EVENTS = 20_000

WAITING = """
import signal, sys
from lockstream.presentation import progress
from lockstream.presentation.cli import main as cli

update, enough = progress.Bar.update, int(sys.argv.pop(1))


def update_and_wait(bar, done, total=None):
    update(bar, done, total)
    if done >= enough:
        print("waiting", flush=True)
        signal.pause()


progress.Bar.update = update_and_wait
cli.main()
"""
"""The command line, which does nothing more once it has shown that so many events are done, and says so."""


def killed_after(events: int, log: Path, *arguments: str, **settings: str) -> None:
    """Start a command, and kill it with -9 when it is done with so many events.

    It waits to be killed: what is looked for in passing may be over before it is seen, or before the signal comes.
    """
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(events), *arguments],
        cwd=log.parent,
        env=environment(log, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"waiting\n", "it ended before it could be killed"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_new_projection_takes_the_old_ones_place(log_path: Path, run: Run) -> None:
    record(log_path, history())
    projection = projection_path(log_path)
    old = projection.stat().st_ino
    ended = run("rebuild")
    assert ended.code == 0
    assert "rebuilt from 10 events" in ended.said
    assert "a second" in ended.said
    assert projection.stat().st_ino != old
    assert set(files_beside(log_path)) == {log_path.name, projection.name}
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_damaged_log_leaves_the_old_projection_alone(log_path: Path, run: Run) -> None:
    record(log_path, history())
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    before = files_beside(log_path)
    run("rebuild").in_a_sentence("line 3")
    assert files_beside(log_path) == before


def test_a_missing_log_is_named_and_not_made(log_path: Path, run: Run) -> None:
    run("rebuild").in_a_sentence(str(log_path))
    assert files_beside(log_path) == {}


def test_a_rebuild_that_was_killed_leaves_what_a_start_can_use(log_path: Path, run: Run) -> None:
    record(log_path, (registered(f"c{number}") for number in range(EVENTS)))
    expected = hashes_after_replay(log_path)
    projection = projection_path(log_path)
    old, building = projection.read_bytes(), projection.with_name(f"{projection.name}.new")
    killed_after(EVENTS // 2, log_path, "rebuild", LOCKSTREAM_ROW_CACHE_ROWS="1000")
    assert projection.read_bytes() == old
    assert building.stat().st_size > len(old) // 4
    assert hashes_after_start(log_path) == expected
    assert run("rebuild").code == 0
    assert not building.exists()
    assert hashes_after_start(log_path) == expected
