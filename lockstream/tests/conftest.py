"""What every test stands on: a log of its own, and an environment that says nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.app import create_app
from lockstream.services.wiring import Settings, open_lockstream
from lockstream.tests.crash.server import OF_TESTS


@pytest.fixture(autouse=True)
def log_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's log is; EVENT_LOG_PATH says so, and the working directory is empty."""
    for name in os.environ:
        if name.startswith("LOCKSTREAM_") and not name.startswith(OF_TESTS):
            monkeypatch.delenv(name)
    path = tmp_path / "event_log.jsonl"
    monkeypatch.setenv("EVENT_LOG_PATH", str(path))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the real application, over this test's log."""
    with TestClient(create_app(lambda: open_lockstream(Settings()))) as client:
        yield client
