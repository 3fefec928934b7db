"""The compactor merges the memtable into a new run in the background, and tries again after any failure."""

import logging
import os
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.ports import ignore_progress
from lockstream.infrastructure.id_index.compactor import Compactor
from lockstream.infrastructure.id_index.index import Compaction, IdIndex
from lockstream.infrastructure.id_index.sorted_run import NO_RUN, RunRef, run_path
from lockstream.infrastructure.sqlite.row_cache import ChangeSet
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.verify import verify_file
from lockstream.tests.infrastructure.id_index.compacted import (
    BODIES,
    HISTORIES,
    MEMTABLE_IDS,
    assert_all_ids_are_known,
    ingest_and_checkpoint,
    open_store,
    run_files,
)
from lockstream.tests.infrastructure.sqlite.trouble import driver_connection
from lockstream.tests.support.builders import registered

pytestmark = pytest.mark.usefixtures("small_memtable")


def test_events_are_ingested_during_compactions_and_at_most_three_run_files_exist(log_path: Path) -> None:
    with open_store(log_path) as store:
        for position, body in enumerate(BODIES, 1):
            assert ingest_and_checkpoint(store, body, body) == [Accepted(position), Duplicate(position)]
            assert ingest_and_checkpoint(store, BODIES[position // 2]) == [Duplicate(position // 2 + 1)]
            assert len(run_files(log_path)) <= 3, "the run on disk, the newest run, and the next run"
        for more in ("even more", "and more"):  # ids that were added during a compaction are left for the next one
            store._projection.finish_compaction()
            ingest_and_checkpoint(store, registered(more))
        assert store._projection.stored.run.position > len(BODIES) // 2
    assert_all_ids_are_known(log_path)
    assert verify_file(log_path, ignore_progress).problems == []


def test_a_compaction_that_fails_in_any_way_is_tried_again(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(compaction: Compaction) -> NoReturn:
        raise MemoryError

    with open_store(log_path) as store:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(Compaction, "merge", run_out_of_memory)
            for body in BODIES[: 4 * MEMTABLE_IDS]:
                ingest_and_checkpoint(store, body)
            store._projection.finish_compaction()
            assert not run_files(log_path)

        for body in BODIES[4 * MEMTABLE_IDS :]:
            ingest_and_checkpoint(store, body)
        store._projection.finish_compaction()

        assert run_files(log_path)
    assert_all_ids_are_known(log_path)


def test_a_run_that_cannot_be_written_is_tried_again(log_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    obstacle = projection_path(log_path).with_name(f"{projection_path(log_path).name}.keys-1")
    with open_store(log_path) as store, caplog.at_level(logging.WARNING):
        obstacle.mkdir()  # the compactor takes it for an old run file, and cannot remove it
        for bodies in HISTORIES[:10]:
            ingest_and_checkpoint(store, *bodies)
            store._projection.finish_compaction()
        assert store._projection.stored.run == store._projection._compactor.run == NO_RUN
        assert "tries again" in caplog.text
        obstacle.rmdir()

        for bodies in HISTORIES[10:]:
            ingest_and_checkpoint(store, *bodies)
            store._projection.finish_compaction()

        assert store._projection.stored.run.position > 100
    assert_all_ids_are_known(log_path, BODIES[:-2])


def test_a_compaction_of_a_run_file_that_was_truncated_fails(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(log) as store, caplog.at_level(logging.WARNING):
        run, before = run_files(log)[-1], store._projection.stored.run
        os.truncate(run, run.stat().st_size - 16)
        for number in range(3 * MEMTABLE_IDS):
            ingest_and_checkpoint(store, registered(f"more-{number}"))
            store._projection.finish_compaction()
        assert store._projection.stored.run == before
    assert "The id index could not be compacted (OSError(5, 'the file is too short'))" in caplog.text


def test_a_compaction_removes_only_run_files_that_no_projection_on_disk_can_name(tmp_path: Path) -> None:
    projection = tmp_path / "projection.sqlite"
    ids = IdIndex()
    with closing(Compactor(ids, projection, NO_RUN)) as compactor:
        first = compacted(ids, compactor)
        assert compactor.needs_checkpoint
        compactor.confirm(first)
        assert not needs_checkpoint(compactor)

        second, third = compacted(ids, compactor), compacted(ids, compactor)
        assert run_files(projection) == [run_path(projection, run.position) for run in (first, second, third)]

        compactor.confirm(third)
        fourth = compacted(ids, compactor)
        assert run_files(projection) == [run_path(projection, run.position) for run in (third, fourth)]


def test_a_compaction_removes_only_run_files_of_its_own_projection(tmp_path: Path) -> None:
    # given a projection whose name matches that of another one as a pattern
    projection = tmp_path / "events[1].jsonl.projection"
    other = run_path(tmp_path / "events1.jsonl.projection", 7)
    other.touch()
    ids = IdIndex()
    with closing(Compactor(ids, projection, NO_RUN)) as compactor:
        compactor.confirm(compacted(ids, compactor))
        before_last = compacted(ids, compactor)
        compactor.confirm(before_last)
        # when
        last = compacted(ids, compactor)
    # then
    kept = [run_path(projection, run.position) for run in (before_last, last)]
    assert sorted(tmp_path.iterdir()) == sorted([other, *kept])


def compacted(ids: IdIndex, compactor: Compactor) -> RunRef:
    """Add ids, compact the index, and return the new run."""
    first = compactor.run.position + 1
    end = first + 10 * MEMTABLE_IDS
    ids.add({f"/id-{position}": position for position in range(first, end)})
    compactor.poll(end - 1)
    compactor.finish()
    assert compactor.run.position == end - 1
    return compactor.run


def needs_checkpoint(compactor: Compactor) -> bool:
    """Return the property through a function, since a type checker does not expect a property to change."""
    return compactor.needs_checkpoint


def test_a_checkpoint_that_names_another_run_waits_for_the_disk(log: Path) -> None:
    """A power failure may undo commits that did not wait. The run that they named before is removed by then."""
    waits: list[tuple[bool, int]] = []
    with open_store(log) as store:
        stored = store._projection.stored
        write = stored.write

        def watched_write(change_set: ChangeSet, run: RunRef) -> None:
            names_another_run = run != stored.run
            write(change_set, run)
            [(level,)] = driver_connection(stored._writing.connection).execute("PRAGMA synchronous")
            waits.append((names_another_run, level))

        stored.write = watched_write  # type: ignore[method-assign]
        for number in range(6 * MEMTABLE_IDS):
            ingest_and_checkpoint(store, registered(f"c{number}", locker="waiting"))
            store._projection.finish_compaction()
    assert set(waits) == {(True, 2), (False, 1)}, "FULL, and NORMAL"
