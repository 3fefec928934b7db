"""Databases, and commands on them."""

import pytest

from lockstream.tests.support.builders import fault_reported, registered, reserved
from lockstream.tests.support.commands import run_command
from lockstream.tests.support.databases import database_url, empty_database_url, ingest_into

__all__ = ["database_url", "empty_database_url", "run_command"]


@pytest.fixture
def sample_url(database_url: str) -> str:
    """The URL of a database with one locker: one compartment, one fault that does not degrade it, one reservation."""
    ingest_into(database_url, registered(), fault_reported(1), reserved())
    return database_url
