"""Back up the quarantine beside a log: by the same rules as the log, and before it."""

import os
from pathlib import Path

import pytest

from lockstream.core.errors import BackupFailed, LogFileDamaged
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.fs import copy_bytes
from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.services.commands import backup
from lockstream.services.commands.backup import back_up
from lockstream.tests.support.histories import history, record

LINE = b'{"line":"left","event_id":"x"}\n'


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of ten events, and its quarantine of two lines and a torn one."""
    record(log_path, history())
    quarantine_path(log_path).write_bytes(LINE * 2 + LINE[:9])
    return log_path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "copy.jsonl"


def test_the_complete_lines_are_copied_with_the_permissions_of_the_file(log: Path, destination: Path) -> None:
    quarantine_path(log).chmod(0o604)
    log.chmod(0o640)
    copy = back_up(log, destination, ignore_progress).quarantine
    assert copy == Path(f"{destination}.quarantine")
    assert copy.read_bytes() == LINE * 2
    assert copy.stat().st_mode & 0o777 == 0o604
    assert destination.stat().st_mode & 0o777 == 0o640
    assert sorted(destination.parent.iterdir()) == [destination, copy]


def test_the_quarantine_is_copied_before_the_log(log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def note(source: int, target: int, start: int, end: int) -> None:
        copied.append(os.fstat(source).st_ino)
        # a server replaces the quarantine after it was opened: the copy is the older file
        quarantine_path(log).with_suffix(".new").write_bytes(b"")
        quarantine_path(log).with_suffix(".new").rename(quarantine_path(log))
        copy_bytes(source, target, start, end)

    inodes = [quarantine_path(log).stat().st_ino, log.stat().st_ino]
    monkeypatch.setattr(backup, "copy_bytes", note)
    back_up(log, destination, ignore_progress)
    assert copied == inodes
    assert quarantine_path(destination).read_bytes() == LINE * 2


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "broken link"])
def test_a_file_in_the_place_of_the_copy_is_not_overwritten(log: Path, destination: Path, is_link: bool) -> None:
    copy = quarantine_path(destination)
    if is_link:
        copy.symlink_to("nowhere")
    else:
        copy.write_bytes(b"older")
    with pytest.raises(BackupFailed, match=f"{copy} exists, and a backup overwrites nothing"):
        back_up(log, destination, ignore_progress)
    # nor is a backup without a quarantine put beside it
    quarantine_path(log).unlink()
    with pytest.raises(BackupFailed, match="a backup overwrites nothing"):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == [copy]
    assert is_link or copy.read_bytes() == b"older"


@pytest.mark.parametrize("name", ["copy.jsonl", "copy.jsonl.quarantine"])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(backup, "CHUNK_LINES", 5)
    other = destination.with_name(name)
    with pytest.raises(BackupFailed, match="a backup overwrites nothing"):
        back_up(log, destination, lambda reached, end: other.write_bytes(b"other"))
    assert other.read_bytes() == b"other"
    assert list(destination.parent.iterdir()) == [other]


def test_a_damaged_log_leaves_no_copy_of_the_quarantine(log: Path, destination: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b"1250", b"9999"))
    with pytest.raises(LogFileDamaged):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == []


def test_a_failed_rename_leaves_no_copy(log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail_for_the_log(path: Path, target: Path) -> Path:
        if target == destination:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_log)
    with pytest.raises(BackupFailed, match="No space left on device"):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == []


def test_a_folder_that_cannot_be_flushed_leaves_no_copy(
    log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backup, "sync_directory", fail)
    with pytest.raises(BackupFailed, match="Input/output error"):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == []


def test_both_copies_are_flushed_before_they_get_their_names(
    log: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_flush(file: int) -> None:
        calls.append("flush")
        fsync(file)

    def note_rename(path: Path, target: Path) -> Path:
        calls.append(target.name)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(Path, "rename", note_rename)
    back_up(log, destination, ignore_progress)
    assert calls == ["flush", "flush", "copy.jsonl.quarantine", "copy.jsonl", "flush"]


def test_a_missing_log_leaves_nothing(log: Path, destination: Path) -> None:
    log.unlink()
    with pytest.raises(FileNotFoundError):
        back_up(log, destination, ignore_progress)
    assert list(destination.parent.iterdir()) == []
