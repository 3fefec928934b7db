"""Shared parts of the tests: event builders, real processes and databases, histories, and a store with faults on demand."""
