"""A small log file for the tests of this folder."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.infrastructure.file_log.writer import LogWriter


@pytest.fixture
def log(log_path: Path) -> Iterator[LogWriter]:
    """An empty log, open for writing."""
    with closing(LogWriter(log_path)) as log:
        yield log
