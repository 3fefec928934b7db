"""Free space: a shortage is reported while it lasts, and its start and end are logged once each."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstream.infrastructure.file_log.free_space import FreeSpaceGuard
from lockstream.tests.support.requirements import requires

FULL_DISK = Path("/proc/self/status")
"""A file on a file system that has no free space, by its own account."""

needs_full_disk = requires(FULL_DISK.exists(), "a /proc file system")


@pytest.fixture
def file(log_path: Path) -> Iterator[int]:
    """A file on a disk with free space."""
    file = os.open(log_path, os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


@contextmanager
def on_full_disk(file: int) -> Iterator[None]:
    """Let the open `file` lie on a full disk, for the block."""
    original, full = os.dup(file), os.open(FULL_DISK, os.O_RDONLY)
    os.dup2(full, file)
    try:
        yield
    finally:
        os.dup2(original, file)
        os.close(original)
        os.close(full)


def test_a_disk_with_the_minimum_free_has_no_shortage(file: int, log_path: Path) -> None:
    assert FreeSpaceGuard(file, log_path, 0).shortage is None
    assert FreeSpaceGuard(file, log_path, 1).shortage is None


@needs_full_disk
def test_a_full_disk_without_a_minimum_has_no_shortage(file: int, log_path: Path) -> None:
    with on_full_disk(file):
        assert FreeSpaceGuard(file, log_path, 0).shortage is None


def test_a_shortage_names_the_log_the_free_bytes_and_the_setting(file: int, log_path: Path) -> None:
    disk = os.fstatvfs(file)
    guard = FreeSpaceGuard(file, log_path, 2 * disk.f_blocks * disk.f_frsize)
    assert guard.shortage is not None
    for part in (str(log_path), "bytes free", f"{2 * disk.f_blocks * disk.f_frsize:,}", "LOCKSTREAM_MIN_FREE_BYTES"):
        assert part in guard.shortage


@needs_full_disk
def test_a_shortage_lasts_until_there_is_enough_free_space(file: int, log_path: Path) -> None:
    guard = FreeSpaceGuard(file, log_path, 1)
    for _ in range(2):
        assert guard.shortage is None
        with on_full_disk(file):
            shortages = [guard.shortage for _ in range(2)]
        assert all("has 0 bytes free" in str(shortage) for shortage in shortages)
        assert guard.shortage is None


@needs_full_disk
def test_the_start_and_the_end_of_a_shortage_are_logged_once_each(
    file: int, log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lockstream")
    guard = FreeSpaceGuard(file, log_path, 1)
    assert [guard.shortage for _ in range(3)] == [None] * 3
    assert caplog.records == []
    with on_full_disk(file):
        assert len({guard.shortage for _ in range(3)}) == 1
    assert [guard.shortage for _ in range(3)] == [None] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert all(str(log_path) in record.getMessage() for record in caplog.records)


def test_a_disk_that_does_not_answer_has_unknown_free_space(log_path: Path) -> None:
    file = os.open(log_path, os.O_RDWR | os.O_CREAT)
    os.close(file)
    shortage = FreeSpaceGuard(file, log_path, 0).shortage
    assert shortage is not None
    assert str(log_path) in shortage
    assert "unknown" in shortage
