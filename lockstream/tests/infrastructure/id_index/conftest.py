"""A small memtable, and a log whose ids are nearly all in a run."""

from pathlib import Path

import pytest

from lockstream.infrastructure.id_index import index
from lockstream.tests.infrastructure.id_index.compacted import (
    HISTORIES,
    LAST,
    MEMTABLE_IDS,
    MORE,
    ingest_and_checkpoint,
    open_store,
    rebuild_projection,
)


@pytest.fixture
def small_memtable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few dozen events compact the id index."""
    monkeypatch.setattr(index, "MEMTABLE_MIN", MEMTABLE_IDS)
    monkeypatch.setattr(index, "MEMTABLE_SHARE", 4)


@pytest.fixture
def log(small_memtable: None, log_path: Path) -> Path:
    """A log whose ids are nearly all in a run, and not in the memtable."""
    with open_store(log_path) as store:
        for bodies in HISTORIES:
            ingest_and_checkpoint(store, *bodies)
    rebuild_projection(log_path)
    with open_store(log_path) as store:
        ingest_and_checkpoint(store, LAST)  # from now on, the memtable no longer holds the ids of the run
        store._projection.finish_compaction()
        ingest_and_checkpoint(store, MORE)
    with open_store(log_path) as store:
        assert len(store._projection.cache.ids.memtable) <= MEMTABLE_IDS
    return log_path
