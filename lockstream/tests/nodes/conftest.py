"""Databases, and commands on them."""

from lockstream.tests.support.commands import run_command
from lockstream.tests.support.databases import database_url, empty_database_url

__all__ = ["database_url", "empty_database_url", "run_command"]
