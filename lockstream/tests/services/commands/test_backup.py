"""A backup is a checked copy that gets its name only when it is complete."""

from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import BackupFailed, LogFileDamaged
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.file_log import reader
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.services.commands import backup
from lockstream.services.commands.backup import back_up
from lockstream.tests.support.histories import history, record


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of ten events."""
    record(log_path, history())
    return log_path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "copy.jsonl"


def assert_nothing_is_left(destination: Path) -> None:
    assert list(destination.parent.iterdir()) == []


def test_a_backup_is_a_copy_and_its_end_is_returned(log: Path, destination: Path) -> None:
    log.chmod(0o640)
    *_, last = read_log(log)
    assert back_up(log, destination, ignore_progress) == (last.end, None, None, None, None)
    assert destination.read_bytes() == log.read_bytes()
    assert destination.stat().st_mode & 0o777 == 0o640
    assert list(destination.parent.iterdir()) == [destination]


def test_a_backup_of_an_empty_log_is_empty(log_path: Path, destination: Path) -> None:
    log_path.touch()
    assert back_up(log_path, destination, ignore_progress) == (START, None, None, None, None)
    assert destination.read_bytes() == b""


def test_a_backup_holds_only_complete_lines(log: Path, destination: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"position":11,')
    assert back_up(log, destination, ignore_progress).end.position == 10
    assert destination.read_bytes() == whole


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "broken link"])
def test_a_backup_overwrites_nothing(log: Path, destination: Path, is_link: bool) -> None:
    if is_link:
        destination.symlink_to("nowhere")
    else:
        destination.write_bytes(b"older")
    with pytest.raises(BackupFailed, match="a backup overwrites nothing"):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == [destination]
    assert destination.is_symlink() == is_link
    assert is_link or destination.read_bytes() == b"older"


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "CHUNK_LINES", 1)
    with pytest.raises(BackupFailed, match="a backup overwrites nothing"):
        back_up(log, destination, lambda reached, end: destination.write_bytes(b"other"))
    assert destination.read_bytes() == b"other"
    assert list(destination.parent.iterdir()) == [destination]


def test_a_missing_folder_is_named(log: Path, destination: Path) -> None:
    destination.parent.rmdir()
    with pytest.raises(BackupFailed, match=f"The folder {destination.parent} does not exist"):
        back_up(log, destination, ignore_progress)


def test_a_missing_log_is_an_error_of_the_file_system(log_path: Path, destination: Path) -> None:
    with pytest.raises(FileNotFoundError):
        back_up(log_path, destination, ignore_progress)
    assert_nothing_is_left(destination)


def test_a_damaged_log_is_named_and_not_copied(log: Path, destination: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b"1250", b"9999"))
    with pytest.raises(LogFileDamaged, match=f"The log {log} is damaged at line 3 "):
        back_up(log, destination, ignore_progress)
    assert_nothing_is_left(destination)


def test_a_damaged_copy_of_a_whole_log_is_not_kept(
    log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the copy does not work."""
    for module in (backup, reader):
        monkeypatch.setattr(module, "CHUNK_LINES", 1)  # so that the end is read after the first progress callback
    record(log, [body for number in range(9) for body in history(f"more-{number}")])

    def damage(reached: int, end: int) -> None:
        [draft] = destination.parent.iterdir()
        draft.write_bytes(log.read_bytes()[:-10] + b"altered..\n")

    with pytest.raises(BackupFailed, match=r"The copy of .* is damaged at line 100, and the log is not\."):
        back_up(log, destination, damage)
    assert_nothing_is_left(destination)


def test_an_interrupted_backup_leaves_nothing(log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "CHUNK_LINES", 5)

    def interrupt(reached: int, end: int) -> None:
        assert (reached, end) == (5, 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(log, destination, interrupt)
    assert_nothing_is_left(destination)
