"""`lockstream rebuild`."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lockstream.infrastructure.embedded import projection_path
from lockstream.tests.cli.conftest import Run
from lockstream.tests.crash.history import life, on_disk, record, replayed, started
from lockstream.tests.crash.server import environment
from lockstream.tests.given import registered

EVENTS = 20_000


def killed_when(moment: Callable[[], bool], log: Path, *arguments: str, **settings: str) -> None:
    """Start a command, and kill it with -9 as soon as it has come to `moment`."""
    with subprocess.Popen(
        [sys.executable, "-m", "lockstream", *arguments],
        cwd=log.parent,
        env=environment(log, **settings),
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not moment():
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.001)
        finally:
            process.kill()
    assert process.returncode == -9


def test_a_new_projection_takes_the_old_ones_place(log_path: Path, run: Run) -> None:
    record(log_path, life())
    projection = projection_path(log_path)
    old = projection.stat().st_ino
    ended = run("rebuild")
    assert ended.code == 0
    assert "rebuilt from 10 events" in ended.said
    assert "a second" in ended.said
    assert projection.stat().st_ino != old
    assert set(on_disk(log_path)) == {log_path.name, projection.name}
    assert started(log_path) == replayed(log_path)


def test_a_damaged_log_leaves_the_old_projection_alone(log_path: Path, run: Run) -> None:
    record(log_path, life())
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    before = on_disk(log_path)
    run("rebuild").in_a_sentence("line 3")
    assert on_disk(log_path) == before


def test_a_missing_log_is_named_and_not_made(log_path: Path, run: Run) -> None:
    run("rebuild").in_a_sentence(str(log_path))
    assert on_disk(log_path) == {}


def test_a_rebuild_that_was_killed_leaves_what_a_start_can_use(log_path: Path, run: Run) -> None:
    record(log_path, (registered(f"c{number}") for number in range(EVENTS)))
    expected = replayed(log_path)
    projection = projection_path(log_path)
    old, building = projection.read_bytes(), projection.with_name(f"{projection.name}.new")

    def is_half_written() -> bool:
        return building.exists() and building.stat().st_size > len(old) // 4

    killed_when(is_half_written, log_path, "rebuild", LOCKSTREAM_WORKING_SET_ROWS="1000")
    assert projection.read_bytes() == old
    assert building.exists()
    assert started(log_path) == expected
    assert run("rebuild").code == 0
    assert not building.exists()
    assert started(log_path) == expected
