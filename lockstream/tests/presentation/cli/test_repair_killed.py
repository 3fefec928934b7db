"""A repair that is killed before any one of its steps has changed nothing, or can be finished by the next repair."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lockstream
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore, acknowledged, projection_path, remove_projection
from lockstream.presentation.cli.main import main
from lockstream.tests.support.builders import event
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes_after_replay, hashes_after_start, history
from lockstream.tests.support.processes import TIMEOUT_SECONDS

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pytest", "lockstream.services.deployment", __name__])


@pytest.fixture(autouse=True)
def package_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fork server find the modules that it loads once for all processes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(lockstream.__file__).parents[1]))


@pytest.fixture
def crashed(log_path: Path, tmp_path: Path) -> dict[str, bytes]:
    """The files of a store that was killed, and whose third line was altered later.

    The projection has seen all ten events, the last ones only in its write-ahead log.
    """
    running = tmp_path / "running" / log_path.name
    running.parent.mkdir()
    with closing(EmbeddedStore(running, CAPACITY)) as store:
        for body in history():
            ingest([event(body)], store.unit_of_work())
            store.checkpoint()
        for path in running.parent.iterdir():
            shutil.copy(path, log_path.parent)
    assert projection_path(log_path).with_name(f"{projection_path(log_path).name}-wal").stat().st_size > 0
    log_path.write_bytes(log_path.read_bytes().replace(b"1250", b"9999"))
    return files_beside(log_path)


def restore(log: Path, files: dict[str, bytes]) -> None:
    """Make `files` the only files beside the log."""
    for path in log.parent.iterdir():
        if path.is_file():
            path.unlink()
    for name, content in files.items():
        log.with_name(name).write_bytes(content)


def repair(log: Path) -> None:
    os.environ["EVENT_LOG_PATH"] = str(log)
    main(["repair", "--yes"])


def remove(log: Path) -> None:
    remove_projection(projection_path(log))


def run_and_die(work: Callable[[Path], None], log: Path, steps: int) -> None:
    """Run `work`, and die before its step number `steps`, counted from 0. A step changes a file or flushes a folder."""
    folder = str(log.parent)

    def on_call(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        path = str(arguments[0]) if arguments else ""
        changes = name in ("os.remove", "os.rename") and path.startswith(folder)
        opens = name == "open" and path.startswith(folder)
        opens = opens and (path == folder or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR)))
        if changes or opens or name == "os.truncate":
            steps -= 1
            if steps < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_call)
    work(log)


def finishes_before(steps: int, work: Callable[[Path], None], log: Path) -> bool:
    """Run `work` in a process, which is killed before step number `steps`. Return whether it finished before."""
    process = processes.Process(target=run_and_die, args=(work, log, steps))
    process.start()
    process.join(TIMEOUT_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def test_a_repair_that_is_killed_at_any_step_can_be_finished(
    log_path: Path, run_command: RunCommand, crashed: dict[str, bytes]
) -> None:
    damaged = crashed[log_path.name]
    lines = damaged.splitlines(keepends=True)
    left, dropped = b"".join(lines[:2]), b"".join(lines[2:])
    steps = truncated = 0
    # given a repair that was killed before step number `steps`
    restore(log_path, crashed)
    while not finishes_before(steps, repair, log_path):
        steps += 1
        # then the log is either unchanged or truncated
        assert log_path.read_bytes() in (damaged, left)
        if log_path.read_bytes() == left:
            truncated += 1
            assert dropped in [path.read_bytes() for path in log_path.parent.glob("*.dropped-*")]
        else:
            assert acknowledged(projection_path(log_path)) == 10, "the proof of the loss must outlast the damage"
        # and the next repair finishes
        assert run_command("repair", "--yes").exit_code == 0
        assert log_path.read_bytes() == left
        assert dropped in [path.read_bytes() for path in log_path.parent.glob("*.dropped-*")]
        assert hashes_after_start(log_path) == hashes_after_replay(log_path) != {}
        restore(log_path, crashed)
    assert 1 < truncated < steps


def test_removing_a_projection_never_removes_only_its_write_ahead_log(
    log_path: Path, crashed: dict[str, bytes]
) -> None:
    """Without its write-ahead log, a projection may hold half of a change, and a start would not know."""
    projection = projection_path(log_path)
    steps = 0
    restore(log_path, crashed)
    while not finishes_before(steps, remove, log_path):
        steps += 1
        assert not projection.exists() or projection.with_name(f"{projection.name}-wal").exists()
        restore(log_path, crashed)
    assert steps > 2
    assert set(files_beside(log_path)) == {log_path.name}
