"""The fixtures of the command line's tests."""

from pathlib import Path

import pytest

from lockstream.tests.support.commands import run_command
from lockstream.tests.support.histories import history, record

__all__ = ["run_command"]


@pytest.fixture
def lines(log_path: Path) -> list[bytes]:
    """The ten lines of this test's log, which the real store has written."""
    record(log_path, history())
    return log_path.read_bytes().splitlines(keepends=True)
