"""The flush thread reports what the kernel said."""

import asyncio
import errno
import os
from pathlib import Path

from lockstream.infrastructure.file_log.flush_thread import FlushThread
from lockstream.tests.support.coroutines import run


async def flush(file: int) -> OSError | None:
    """Flush a file, and return the error that was reported."""
    reported: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    thread = FlushThread(file)
    try:
        thread.begin(reported.set_result)
        return await reported
    finally:
        thread.close()


def test_a_flush_of_a_file_reports_no_error(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert run(flush(file.fileno())) is None


def test_a_failed_flush_reports_the_error_of_the_kernel() -> None:
    reading, writing = os.pipe()  # a pipe cannot be flushed
    error = run(flush(writing))
    assert error is not None
    assert error.errno == errno.EINVAL
    os.close(reading)
    os.close(writing)
