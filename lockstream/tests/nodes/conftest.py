"""Databases, and commands on them."""

from collections.abc import Iterator

import pytest

from lockstream.tests.support.commands import run_command
from lockstream.tests.support.databases import database_url, empty_database_url, new_database

__all__ = ["database_url", "empty_database_url", "run_command"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of the database that all tests of a module use."""
    with new_database() as url:
        yield url
