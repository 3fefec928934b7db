"""The fixtures of the running system's tests."""

from collections.abc import Iterator

import pytest

from lockstream.services.running import checkpointer
from lockstream.settings import Settings
from lockstream.tests.support.faulty_store import FaultyStore


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    """A store over this test's log, whose flushes and checkpoints can be held back."""
    store = FaultyStore(Settings())
    yield store
    store.close()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times that the checkpointer waits for a quiet moment, and after a failure."""
    monkeypatch.setattr(checkpointer, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(checkpointer, "RETRY_SECONDS", 0.02)
