"""Shared parts of the tests: event builders, real processes and databases, histories, and a faulty store."""
