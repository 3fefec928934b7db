"""A projection whose row cache holds one row, so that rows are dropped as early as they may be."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.tests.infrastructure.sqlite.projections import LoggedProjection


@pytest.fixture
def projection(tmp_path: Path) -> Iterator[LoggedProjection]:
    with closing(LoggedProjection(tmp_path / "projection.sqlite", capacity=1)) as projection:
        yield projection
