"""File system calls: locks, the check that a name leads to the same file, and writes that the system does in parts."""

import array
import errno
import fcntl
import os
import resource
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockstream.core.errors import LogLocked, StartRefused
from lockstream.infrastructure.fs import (
    COPY_BYTES,
    check_same_file,
    copy_bytes,
    identity_of,
    lock,
    open_for_append,
    open_locked,
    sync_data,
    sync_directory,
    write_all,
)

CONTENT = bytes(range(256)) * 8192
"""More than a pipe holds."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def file(path: Path) -> Iterator[int]:
    """A new file, open for appending."""
    file = open_for_append(path)
    yield file
    os.close(file)


@contextmanager
def limited(limit: int, value: int) -> Iterator[None]:
    """Lower a limit of this process, for the block."""
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


# open and lock


def test_a_missing_file_is_created_and_an_existing_one_is_appended_to(path: Path) -> None:
    for content in (b"one", b"two"):
        file = open_for_append(path)
        os.write(file, content)
        os.close(file)
    assert path.read_bytes() == b"onetwo"


def test_a_path_that_cannot_be_a_regular_file_refuses_the_start(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, tmp_path / "missing" / "file", pipe, Path("/dev/null")):
        with pytest.raises(StartRefused, match=f"{path} cannot be used.*EVENT_LOG_PATH"):
            open_for_append(path)
    with pytest.raises(OSError, match="No such device or address"):  # nobody has the pipe open any more
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


def test_a_locked_file_cannot_be_locked_until_it_is_closed(path: Path) -> None:
    first = open_locked(path)
    for _ in range(2):
        with pytest.raises(LogLocked, match=str(path)):
            open_locked(path)
    second = open_for_append(path)
    with pytest.raises(LogLocked, match=str(path)):
        lock(second, path)
    os.close(first)
    lock(second, path)
    with pytest.raises(LogLocked):
        open_locked(path)
    os.close(second)
    os.close(open_locked(path))


def test_an_attempt_to_lock_a_locked_file_leaves_no_file_open(path: Path) -> None:
    first = open_locked(path)
    with limited(resource.RLIMIT_NOFILE, first + 20):
        for _ in range(100):
            with pytest.raises(LogLocked):
                open_locked(path)
    os.close(first)


def test_a_lock_is_not_inherited_by_programs_that_are_started(path: Path) -> None:
    file = open_locked(path)
    assert not os.get_inheritable(file)
    os.close(file)


# check_same_file


def test_the_open_file_is_the_same_while_its_name_leads_to_it(file: int, path: Path) -> None:
    identity = identity_of(file)
    check_same_file(str(path), identity)
    os.write(file, b"content")
    check_same_file(str(path), identity)
    link = path.with_name("link")
    link.symlink_to(path)
    check_same_file(str(link), identity)


def test_a_name_that_leads_to_another_file_or_to_none_is_refused(file: int, path: Path) -> None:
    identity = identity_of(file)
    moved = path.with_name("moved")
    path.rename(moved)
    with pytest.raises(FileNotFoundError):
        check_same_file(str(path), identity)
    check_same_file(str(moved), identity)
    path.write_bytes(b"")
    with pytest.raises(OSError, match="moved or replaced") as raised:
        check_same_file(str(path), identity)
    assert (raised.value.errno, raised.value.filename) == (errno.ESTALE, str(path))
    moved.replace(path)
    check_same_file(str(path), identity)


def test_a_size_outside_the_limits_is_refused(file: int, path: Path) -> None:
    identity = identity_of(file)
    os.write(file, b"0123456789")
    for limits in ((), (0,), (10,), (0, 10), (10, 10), (3, 12)):
        check_same_file(str(path), identity, *limits)
    for limits in ((11,), (11, 20), (0, 9), (3, 3), (0, 0)):
        with pytest.raises(OSError, match="shortened, or another program has written to it"):
            check_same_file(str(path), identity, *limits)


# write and copy


def test_all_of_the_content_is_written(file: int, path: Path) -> None:
    for content in (b"", b"abc", bytearray(b"def"), memoryview(b"ghi"), array.array("I", [1]), CONTENT):
        write_all(file, content)
    assert path.read_bytes() == b"abcdefghi" + array.array("I", [1]).tobytes() + CONTENT


def test_a_write_that_the_system_takes_in_parts_is_continued() -> None:
    """A signal ends a write to a full pipe after the part that the pipe holds."""
    reading, writing = os.pipe()
    capacity = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    assert len(CONTENT) > capacity
    main_thread, interrupted = threading.get_ident(), threading.Event()
    received = bytearray()

    def interrupt_and_read() -> None:
        while _bytes_in(reading) < capacity and not interrupted.is_set():
            pass
        signal.pthread_kill(main_thread, signal.SIGUSR1)
        interrupted.wait()
        while part := os.read(reading, COPY_BYTES):
            received.extend(part)

    former = signal.signal(signal.SIGUSR1, lambda *_: interrupted.set())
    reader = threading.Thread(target=interrupt_and_read)
    reader.start()
    try:
        write_all(writing, CONTENT)
    finally:
        os.close(writing)
        interrupted.set()
        reader.join()
        os.close(reading)
        signal.signal(signal.SIGUSR1, former)
    assert bytes(received) == CONTENT


def test_a_write_of_which_the_disk_takes_only_a_part_fails(file: int, path: Path) -> None:
    with limited(resource.RLIMIT_FSIZE, 1_000), pytest.raises(OSError, match="File too large"):
        write_all(file, CONTENT)
    assert path.read_bytes() == CONTENT[:1_000]


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 10), (3, 7), (5, 5), (0, len(CONTENT)), (1, COPY_BYTES + 1), (COPY_BYTES, len(CONTENT)), (10, 10**9)],
)
def test_bytes_are_copied_from_one_offset_to_another(file: int, path: Path, start: int, end: int) -> None:
    write_all(file, CONTENT)
    copy = path.with_name("copy")
    target = open_for_append(copy)
    os.write(target, b"before ")
    copy_bytes(file, target, start, end)
    os.close(target)
    assert copy.read_bytes() == b"before " + CONTENT[start:end]


def test_flushing_works_on_files_and_directories(file: int, path: Path) -> None:
    os.write(file, b"content")
    sync_data(file)
    sync_directory(path.parent)
    with pytest.raises(FileNotFoundError):
        sync_directory(path.with_name("missing"))


def _bytes_in(pipe: int) -> int:
    """Return how many bytes can be read from a pipe."""
    number = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, number)
    return number[0]
