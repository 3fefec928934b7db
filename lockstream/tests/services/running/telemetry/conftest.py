"""A database for traces of its transactions."""

from lockstream.tests.support.databases import database_url

__all__ = ["database_url"]
