"""One server for all tests of this folder that need no settings of their own."""

from collections.abc import Iterator

import pytest

from lockstream.tests.presentation.server.guarded_server import SHORT_LIMITS, GuardedServer, bounded_memory, guarded


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with guarded(tmp_path_factory.mktemp("shared") / "event_log.jsonl", SHORT_LIMITS) as server:
        yield server


@pytest.fixture(scope="module")
def served(shared_server: GuardedServer) -> Iterator[GuardedServer]:
    """A server with short time limits, and a clock that tests move. A module's tests take little memory of it."""
    with bounded_memory(shared_server):
        yield shared_server
