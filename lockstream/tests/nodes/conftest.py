"""A database for each test."""

from collections.abc import Iterator

import pytest

from lockstream.tests.support.databases import new_database


@pytest.fixture
def url() -> Iterator[str]:
    with new_database() as url:
        yield url
