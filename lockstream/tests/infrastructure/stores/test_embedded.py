"""The embedded store: rebuilds of the projection, limits of memory, and logs that lack acknowledged events."""

import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged, StartRefused, StoreUnavailable
from lockstream.core.outcomes import Duplicate
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.sqlite import database
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild, remove_projection
from lockstream.tests.infrastructure.sqlite.row_stores import rows_in_memory
from lockstream.tests.infrastructure.sqlite.trouble import missing_table
from lockstream.tests.infrastructure.stores.comparison import in_model_terms
from lockstream.tests.infrastructure.stores.failing_log import checkpoint_durable, fail_log, ingested
from lockstream.tests.infrastructure.stores.network import CAPACITY, EmbeddedNetwork
from lockstream.tests.support.builders import fault_reported, registered, reserved
from lockstream.tests.support.histories import (
    files_beside,
    hashes,
    hashes_after_replay,
    hashes_after_start,
    history,
    record,
)


def test_a_projection_of_another_log_of_the_same_length_is_rebuilt(tmp_path: Path) -> None:
    one, other = (EmbeddedNetwork(tmp_path / f"{name}.jsonl") for name in "ab")
    for network, name in ((one, "a"), (other, "b")):
        network.ingest(registered(name), fault_reported(3, name))
    one.path.write_bytes(other.path.read_bytes())

    one.reopen()

    assert one.store.log.end == other.store.log.end
    assert hashes(one.store.reads) == hashes(other.store.reads)
    one.close()
    other.close()


def test_lookups_of_unknown_subjects_take_bounded_memory(embedded: EmbeddedNetwork) -> None:
    for number in range(10 * CAPACITY):
        embedded.ingest(reserved(f"r{number}", f"c{number}"))
        rows = rows_in_memory(embedded.store._projection.cache)
        assert rows <= CAPACITY + 4, "two generations, each with one batch too many"


def test_refused_events_and_duplicates_take_bounded_memory(embedded: EmbeddedNetwork) -> None:
    accepted = [registered(f"c{number}") for number in range(10 * CAPACITY)]
    embedded.ingest(*accepted)
    embedded.reopen()

    for number, duplicate in enumerate(accepted):
        [known, refused] = embedded.ingest(duplicate, registered(f"c{number}"))
        assert known == Duplicate(number + 1)
        assert in_model_terms(refused) == ("refused", "compartment_already_registered")
        rows = rows_in_memory(embedded.store._projection.cache)
        assert rows <= CAPACITY + 2, "two generations, each with one batch too many"


def test_a_start_is_refused_if_the_log_lost_events_that_a_failed_log_had_acknowledged(log_path: Path) -> None:
    stop_with_a_failed_log(log_path)
    truncate(log_path, 15)
    content = log_path.read_bytes()

    with pytest.raises(LogFileDamaged, match="has seen 20 acknowledged events, and the log holds only 15") as refused:
        EmbeddedStore(log_path, CAPACITY)

    assert refused.value.position == 16
    assert log_path.read_bytes() == content


def test_the_note_of_acknowledged_events_survives_a_crash(log_path: Path) -> None:
    network = EmbeddedNetwork(log_path)
    acknowledge_20_and_fail(network.store)
    network.store.note_acknowledged()
    network.remember_projection()
    truncate(log_path, 19)

    with pytest.raises(LogFileDamaged, match="20 acknowledged events"):
        network.lose_power()


def test_a_checkpoint_after_the_note_keeps_it(log_path: Path) -> None:
    network = EmbeddedNetwork(log_path)
    acknowledge_20_and_fail(network.store)
    network.store.note_acknowledged()
    network.store.discard_unflushed()
    checkpoint_durable(network.store)
    network.remember_projection()
    truncate(log_path, 19)

    with pytest.raises(LogFileDamaged, match="20 acknowledged events"):
        network.lose_power()


def test_a_start_is_refused_if_the_log_lost_events_of_a_checkpoint(log_path: Path) -> None:
    record(log_path, history())
    truncate(log_path, 9)

    with pytest.raises(LogFileDamaged, match="has seen 10 acknowledged events, and the log holds only 9"):
        EmbeddedStore(log_path, CAPACITY)


def test_a_start_without_a_log_is_refused_if_the_projection_has_seen_events(log_path: Path) -> None:
    # given a projection whose log is gone
    record(log_path, history())
    content = log_path.read_bytes()
    log_path.unlink()
    before = files_beside(log_path)
    # when a store is opened, then it is refused and has created nothing
    seen = rf"The log {log_path} is missing, and the projection beside it has seen 10 events\. Nothing was changed\."
    with pytest.raises(StartRefused, match=seen) as refused:
        EmbeddedStore(log_path, CAPACITY)
    assert f"remove the projection {projection_path(log_path)}" in str(refused.value)
    assert files_beside(log_path) == before
    # when the log is back, then the start finds every event
    log_path.write_bytes(content)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_start_without_a_log_names_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "log.jsonl", history()[:1])
    Path("log.jsonl").unlink()
    with pytest.raises(StartRefused, match=rf"The log {tmp_path}/log\.jsonl is missing.* has seen 1 event\."):
        EmbeddedStore(Path("log.jsonl"), CAPACITY)


def test_a_link_to_a_missing_log_is_a_missing_log(log_path: Path) -> None:
    """The file may be on a disk that is not mounted."""
    record(log_path, history())
    log_path.unlink()
    log_path.symlink_to(log_path.with_name("away.jsonl"))
    with pytest.raises(StartRefused, match="is missing"):
        EmbeddedStore(log_path, CAPACITY)
    assert not log_path.exists()


@pytest.mark.parametrize("harm", ["removed", "no events", "not a database"])
def test_a_start_creates_a_log_if_no_projection_has_seen_events(log_path: Path, harm: str) -> None:
    record(log_path, history() if harm != "no events" else [])
    log_path.unlink()
    if harm == "removed":
        remove_projection(projection_path(log_path))
    elif harm == "not a database":
        projection_path(log_path).write_bytes(b"no database" * 1000)
    EmbeddedStore(log_path, CAPACITY).close()
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize("is_read", [False, True])
def test_a_start_waits_for_a_program_that_locks_the_projection(
    log_path: Path, caplog: pytest.LogCaptureFixture, *, is_read: bool
) -> None:
    # given a projection behind its log, and a program that locks it for a moment, for all or for writes
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        ingested(store, *history())
        store.log.flush()
    with locked(projection_path(log_path), is_read=is_read) as other, ThreadPoolExecutor(1) as threads:
        # when a start meets the lock, and the program ends
        starting = threads.submit(EmbeddedStore, log_path, CAPACITY)
        time.sleep(0.5)
        other.close()
        # then the start uses the projection as it is
        with closing(starting.result(60)) as store:
            assert not [line for line in caplog.messages if "is rebuilt" in line]
            assert store.checkpointed == 10


def test_a_locked_projection_does_not_hide_that_events_are_missing(log_path: Path) -> None:
    record(log_path, history())
    truncate(log_path, 9)
    with locked(projection_path(log_path)) as other, ThreadPoolExecutor(1) as threads:
        starting = threads.submit(EmbeddedStore, log_path, CAPACITY)
        time.sleep(0.5)
        other.close()
        with pytest.raises(LogFileDamaged, match="has seen 10 acknowledged events, and the log holds only 9"):
            starting.result(60)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_start_is_refused_while_a_program_keeps_the_projection_locked(
    log_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_read: bool
) -> None:
    monkeypatch.setattr(database, "START_LOCK_SECONDS", 0.2)
    record(log_path, history())
    path = projection_path(log_path)
    with locked(path, is_read=is_read):
        before = path.stat()
        for start in (EmbeddedStore, rebuild):
            with pytest.raises(StartRefused, match="has locked the projection"):
                start(log_path, CAPACITY)
        with pytest.raises(StartRefused):
            SqliteProjection.open(path)
        assert path.stat().st_ino == before.st_ino
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_start_after_a_rebuild_does_not_wait_for_a_program_that_reads(
    log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lockstream verify` reads the projection for as long as it replays the log."""
    monkeypatch.setattr(database, "START_LOCK_SECONDS", 0.2)
    record(log_path, history())
    rebuild(log_path, CAPACITY)
    with closing(sqlite3.connect(projection_path(log_path), isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM lockers").fetchall()
        EmbeddedStore(log_path, CAPACITY).close()
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@contextmanager
def locked(path: Path, *, is_read: bool = True) -> Iterator[sqlite3.Connection]:
    """Lock a database as another program, for writes or, if `is_read`, for reads as well."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        if is_read:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield other


@pytest.mark.parametrize("torn_bytes", [0, 1, 100])
def test_a_start_accepts_a_failed_log_that_holds_all_acknowledged_events(log_path: Path, torn_bytes: int) -> None:
    stop_with_a_failed_log(log_path, torn_bytes)
    assert hashes_after_start(log_path).keys() == {"locker-1", "locker-2"}
    assert len(list(read_log(log_path))) == 20


def test_a_rebuild_accepts_a_log_that_lost_acknowledged_events(log_path: Path) -> None:
    stop_with_a_failed_log(log_path)
    truncate(log_path, 15)

    rebuild(log_path, CAPACITY)

    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def test_a_store_closes_even_if_it_cannot_note_the_acknowledged_events(log_path: Path) -> None:
    store = EmbeddedStore(log_path, CAPACITY)
    acknowledge_20_and_fail(store)
    with missing_table(projection_path(log_path), "progress"):
        with pytest.raises(StoreUnavailable, match="could not be written"):
            store.note_acknowledged()
        store.close()
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


def stop_with_a_failed_log(path: Path, torn_bytes: int = 0) -> None:
    with closing(EmbeddedStore(path, CAPACITY)) as store:
        acknowledge_20_and_fail(store, torn_bytes)


def acknowledge_20_and_fail(store: EmbeddedStore, torn_bytes: int = 0) -> None:
    """Ingest 10 events into the projection and 10 more into the log alone, and let the log fail with another one."""
    ingested(store, *history())
    store.checkpoint()
    ingested(store, *history("locker-2"))
    store.log.flush()
    fail_log(store, torn_bytes)


def truncate(log: Path, count: int) -> None:
    """Keep only the first `count` events of a log."""
    os.truncate(log, list(read_log(log))[count - 1].end.offset)
