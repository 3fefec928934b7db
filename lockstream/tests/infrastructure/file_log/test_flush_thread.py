"""Flush thread: each requested flush runs, and the event loop learns how it ended."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.infrastructure.file_log.flush_thread import FlushThread, OnFlushed

TIMEOUT_SECONDS = 20


@pytest.fixture
def file(log_path: Path) -> Iterator[int]:
    file = os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield file
    os.close(file)


async def flushed(thread: FlushThread) -> OSError | None:
    """Flush, and return the error that the event loop was told of."""
    ended: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    thread.begin(ended.set_result)
    return await asyncio.wait_for(ended, TIMEOUT_SECONDS)


def test_a_flush_that_succeeds_reports_no_error(file: int) -> None:
    thread = FlushThread(file)
    os.write(file, b"line\n")
    assert asyncio.run(flushed(thread)) is None
    thread.close()


def test_a_flush_that_fails_reports_its_error_and_the_thread_goes_on(file: int) -> None:
    # given a file that cannot be flushed
    reading, writing = os.pipe()
    thread = FlushThread(writing)
    # then the error is reported
    error = asyncio.run(flushed(thread))
    assert isinstance(error, OSError)
    assert error.errno == errno.EINVAL
    # and the next flush succeeds if it can
    os.dup2(file, writing)
    assert asyncio.run(flushed(thread)) is None
    thread.close()
    os.close(reading)
    os.close(writing)


def test_the_event_loop_is_told_on_its_own_thread_and_in_order(file: int) -> None:
    told: list[tuple[int, int]] = []

    def note(number: int) -> OnFlushed:
        return lambda _: told.append((number, threading.get_ident()))

    async def flush_many() -> None:
        for number in range(10):
            thread.begin(note(number))
        await flushed(thread)

    thread = FlushThread(file)
    asyncio.run(flush_many())
    thread.close()
    assert told == [(number, threading.get_ident()) for number in range(10)]


def test_closing_waits_for_the_flushes_that_were_requested(file: int) -> None:
    async def flush_many() -> list[OSError | None]:
        errors: list[OSError | None] = []
        for _ in range(10):
            thread.begin(errors.append)
        thread.close()
        await asyncio.sleep(0)
        return errors

    thread = FlushThread(file)
    assert asyncio.run(flush_many()) == [None] * 10
    assert not thread._thread.is_alive()


def test_a_flush_whose_event_loop_is_closed_harms_no_later_flush(file: int) -> None:
    async def end_before_the_flush() -> None:
        thread.begin(lambda _: None)

    thread = FlushThread(file)
    for _ in range(10):
        asyncio.run(end_before_the_flush())
    assert asyncio.run(flushed(thread)) is None
    thread.close()
