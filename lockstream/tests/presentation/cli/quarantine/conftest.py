"""The fixtures of the tests of `lockstream quarantine`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockstream.tests.support.commands import CommandResult, RunCommand, run_command
from lockstream.tests.support.processes import Server

__all__ = ["run_command"]

type RunQuarantine = Callable[..., CommandResult]


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    with Server(log_path) as server:
        yield server.start()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def run(run_command: RunCommand, url: str) -> RunQuarantine:
    """A function that runs a command of `lockstream quarantine` on the server, with further arguments."""
    return lambda name, *arguments: run_command("quarantine", name, url, *arguments)
