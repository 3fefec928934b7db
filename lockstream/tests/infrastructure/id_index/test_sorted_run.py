"""Run files: nearly all ids are in one, none is ever forgotten, and a damaged file rebuilds the projection."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.ports import ignore_progress
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED
from lockstream.infrastructure.id_index.index import Entries, SortedRun, _hashes
from lockstream.infrastructure.id_index.sorted_run import write_run
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.verify import verify_file
from lockstream.tests.infrastructure.id_index.compacted import (
    BODIES,
    HISTORIES,
    LAST,
    MEMTABLE_IDS,
    assert_all_ids_are_known,
    ingest_and_checkpoint,
    open_store,
    rebuild_projection,
    run_files,
)
from lockstream.tests.support.builders import picked_up, registered
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start

pytestmark = pytest.mark.usefixtures("small_memtable")


def test_an_event_whose_id_is_only_in_the_run_is_a_duplicate_after_a_restart(log: Path) -> None:
    with open_store(log) as store:
        memtable = store._projection.cache.ids.memtable
        assert not [body for body in BODIES[:-2] if body["event_id"] in memtable]
    assert_all_ids_are_known(log)


def test_an_id_with_the_same_36_bits_as_another_is_new(log: Path) -> None:
    other = registered("new")
    [like] = _hashes([other["event_id"]])
    with open_store(log) as store:
        ids = store._projection.cache.ids
        hashes = np.sort(np.append(ids._run.hashes, [np.uint64(like), np.uint64(like | 2)]))
        ids._run = ids._run._replace(hashes=hashes)
        assert ingest_and_checkpoint(store, BODIES[0], other) == [Duplicate(1), Accepted(203)]
        assert ingest_and_checkpoint(store, other) == [Duplicate(203)]


def test_the_log_is_read_for_event_ids_only(log: Path) -> None:
    """The projection has the rows of compartments and reservations."""
    with open_store(log) as store:
        unreadable = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(unreadable, store.log._file)
        os.close(unreadable)

        outcomes = ingest_and_checkpoint(
            store, picked_up("locker-3-parcel-3", locker="locker-3"), registered("c1", locker="locker-5")
        )

        assert outcomes == [Accepted(203), COMPARTMENT_ALREADY_REGISTERED]
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            ingest_and_checkpoint(store, BODIES[0])


def remove(run: Path) -> None:
    run.unlink()


def empty(run: Path) -> None:
    run.write_bytes(b"")


def truncate_one_entry(run: Path) -> None:
    os.truncate(run, run.stat().st_size - 8)


def tear(run: Path) -> None:
    os.truncate(run, run.stat().st_size - 3)


def flip_bit(run: Path) -> None:
    content = bytearray(run.read_bytes())
    content[len(content) // 2] ^= 4
    run.write_bytes(content)


def drop_every_second_entry(run: Path) -> None:
    content = run.read_bytes()
    run.write_bytes(np.frombuffer(content, "<u8")[::2].tobytes())


def flip_bit_in_prefixes(run: Path) -> None:
    content = bytearray(run.read_bytes())
    content[-9] ^= 4
    run.write_bytes(content)


def drop_prefixes(run: Path) -> None:
    """Leave the form of a run file without prefixes, which is that of an older version."""
    content = run.read_bytes()
    run.write_bytes(content[: 8 * int.from_bytes(content[-8:], "little")])


DAMAGES = [
    *(remove, empty, truncate_one_entry, tear, flip_bit, flip_bit_in_prefixes),
    *(drop_prefixes, drop_every_second_entry),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_file_rebuilds_the_projection(
    log: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    run = run_files(log)[-1]
    damage(run)
    assert str(run) in "\n".join(verify_file(log, ignore_progress).problems)

    with caplog.at_level(logging.WARNING):
        assert hashes_after_start(log) == hashes_after_replay(log)

    assert "is rebuilt from the log" in caplog.text
    assert str(run) in caplog.text
    assert verify_file(log, ignore_progress).problems == []
    assert_all_ids_are_known(log)


def test_a_run_file_without_prefixes_is_not_read_even_if_its_checksum_is_right(log: Path) -> None:
    run = run_files(log)[-1]
    drop_prefixes(run)
    with closing(sqlite3.connect(projection_path(log))) as database, database:
        database.execute("UPDATE progress SET run_checksum = ?", [crc32(run.read_bytes())])

    [problem] = verify_file(log, ignore_progress).problems

    assert f"{run} cannot be read" in problem
    assert_all_ids_are_known(log)


def test_a_projection_older_than_the_run_catches_up(log_path: Path) -> None:
    earlier: dict[Path, bytes] = {}
    with open_store(log_path) as store:
        for bodies in HISTORIES:
            ingest_and_checkpoint(store, *bodies)
            if bodies is HISTORIES[3]:
                store._projection.finish_compaction()  # it could remove a file while it is copied
                earlier = {path: path.read_bytes() for path in log_path.parent.iterdir() if path != log_path}
    for path in log_path.parent.iterdir():
        if path != log_path and path not in earlier:
            path.unlink()
    for path, content in earlier.items():
        path.write_bytes(content)

    assert_all_ids_are_known(log_path, BODIES[:-2])


def without_hash_of(event_id: str, run: SortedRun) -> tuple[Entries, Entries]:
    [lost] = _hashes([event_id])
    return run.hashes[run.hashes >> 28 != lost >> 28], run.prefixes[:]


def without_prefix_of(event_id: str, run: SortedRun) -> tuple[Entries, Entries]:
    prefixes = run.prefixes[:]
    return run.hashes, prefixes[prefixes >> 28 != int(event_id.replace("-", "")[:9], 16)]


@pytest.mark.parametrize("without", [without_hash_of, without_prefix_of])
def test_verify_finds_an_id_that_a_run_lacks_and_a_rebuild_repairs_it(
    log: Path, without: Callable[[str, SortedRun], tuple[Entries, Entries]]
) -> None:
    projection = projection_path(log)
    with open_store(log) as store:
        run, position = store._projection.cache.ids._run, store._projection.stored.run.position
    hashes, prefixes = without(BODIES[3]["event_id"], run)
    assert len(hashes) + len(prefixes) == len(run.hashes) + len(run.prefixes) - 1
    _, ref = write_run(projection, ([hashes], [prefixes]), position)
    with closing(sqlite3.connect(projection)) as database, database:
        database.execute("UPDATE progress SET run_checksum = ?", [ref.checksum])

    [problem] = verify_file(log, ignore_progress).problems

    assert f"differs from the log in 1 place: the id '{BODIES[3]['event_id']}'" in problem
    rebuild_projection(log)
    assert verify_file(log, ignore_progress).problems == []


def test_verify_finds_no_problem_if_a_server_compacts_meanwhile(log: Path) -> None:
    """A compaction may remove the run file that the projection named when `verify` read the projection."""
    run = run_files(log)[-1]
    assert verify_file(log, lambda reached, end: run.unlink(missing_ok=True)).problems == []
    assert not run.exists()


lists_open_files = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="only Linux lists the files that are open or mapped into memory"
)


def open_files() -> set[str]:
    """Return the paths of the files that this process has open."""
    paths: set[str] = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread has closed it
            paths.add(str(link.readlink()))
    return paths


@lists_open_files
def test_the_hashes_are_mapped_from_the_run_file_so_that_their_memory_can_be_taken_back(log_path: Path) -> None:
    with open_store(log_path) as store:
        for bodies in HISTORIES:
            ingest_and_checkpoint(store, *bodies)
        store._projection.finish_compaction()
        ingest_and_checkpoint(store, LAST)
        store._projection.finish_compaction()  # a running compaction may already have a file
        assert str(run_files(log_path)[-1]) in Path("/proc/self/maps").read_text()


@lists_open_files
def test_a_store_has_one_run_file_open_and_closes_it(log: Path) -> None:
    def runs_in(texts: Iterable[str]) -> list[str]:
        return [text for text in texts if str(log) in text and ".keys-" in text]

    with open_store(log) as store:
        for number in range(6 * MEMTABLE_IDS):
            ingest_and_checkpoint(store, registered(f"more-{number}"))
            store._projection.finish_compaction()
            store.list(lambda lists: lists.search("a", 20))
            assert runs_in(open_files()) == [str(run_files(log)[-1])]
    assert runs_in(open_files()) == []
    assert runs_in(Path("/proc/self/maps").read_text().splitlines()) == []
