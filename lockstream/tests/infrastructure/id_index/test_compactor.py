"""Merging what is recent into a run: it may fail in any way, and what names the run is flushed."""

from pathlib import Path

import pytest

from lockstream.infrastructure.backing import Changes
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.tests.infrastructure.id_index.test_sorted_run import (
    BODIES,
    LEAST,
    assert_all_is_known,
    log,
    opened,
    runs,
    soon_merged,
    taken_in,
)
from lockstream.tests.support.builders import registered

__all__ = ["log", "soon_merged"]


def test_a_merge_that_fails_in_any_way_is_tried_again(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(merge: known_keys.Merge) -> known_keys.Run:
        raise MemoryError

    with opened(log_path) as store:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(known_keys.Merge, "run", no_memory)
            for body in BODIES[: 4 * LEAST]:
                taken_in(store, body)
            store._keeper.finish()
            assert not runs(log_path)
        for body in BODIES[4 * LEAST :]:
            taken_in(store, body)
        store._keeper.finish()
        assert runs(log_path)
    assert_all_is_known(log_path)


def test_the_change_that_names_another_run_waits_for_the_disk(log: Path) -> None:
    """A power failure undoes what did not wait, and the run before that one is removed."""
    waits: list[tuple[bool, int]] = []
    with opened(log) as store:
        projection = store._projection
        write = projection.write

        def watched(changes: Changes) -> None:
            new = projection.run != projection.kept_run
            write(changes)
            driver = projection._writing.connection.driver_connection
            assert driver is not None
            waits.append((new, driver.execute("PRAGMA synchronous").fetchone()[0]))

        projection.write = watched  # type: ignore[method-assign]
        for number in range(6 * LEAST):
            taken_in(store, registered(f"c{number}", locker="waiting"))
            store._keeper.finish()
    assert set(waits) == {(True, 2), (False, 1)}, "FULL, and NORMAL"
