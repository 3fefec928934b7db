"""A power cut after each single step of a start, a rebuild or the ingestion of events: a start succeeds afterwards."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.tests.crash.disk_image import LOG, DiskImage, key_of, keyed_event, restart_on
from lockstream.tests.crash.fault_report import FULL, POWER, FaultReport
from lockstream.tests.crash.lossy_fs.mount import lossy_disk, needs_lossy_disk
from lockstream.tests.support.builders import RECORDED_AT, event, registered
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited

pytestmark = needs_lossy_disk

OFTEN, QUITE_OFTEN = 100, 15
"""Power cuts at one moment."""

TIMES, STEPS = (2, 1_000) if FULL else (1, 3)
"""Repetitions of each work, each with other power cuts, and number of power cuts after which a store starts."""


@pytest.fixture(autouse=True)
def small_memtable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a log of some dozen events have a run file, and get new ones."""
    monkeypatch.setattr(index, "MEMTABLE_MIN", 10)


def unharmed(log: Path) -> None:
    pass


def with_torn_tail(log: Path) -> None:
    with log.open("r+b") as file:
        line = file.readline()
        file.seek(0, os.SEEK_END)
        file.write(line[: len(line) // 2])


def without_projection(log: Path) -> None:
    for path in log.parent.glob(f"{projection_path(log).name}*"):
        path.unlink()


def with_projection_of_older_version(log: Path) -> None:
    with closing(sqlite3.connect(projection_path(log))) as database, database:
        database.execute("UPDATE progress SET schema = 'older'")


def start(log: Path) -> None:
    hashes_after_start(log)


def rebuild_projection(log: Path) -> None:
    rebuild(log, CAPACITY)


def ingest_events(log: Path) -> None:
    with closing(EmbeddedStore(log, CAPACITY)) as store:
        for number in range(3):
            ingest([keyed_event(body) for body in history(f"new-{number}")], store.unit_of_work())
            store.checkpoint()


WORKS: dict[Callable[[Path], None], str] = {
    start: "a start",
    rebuild_projection: "a rebuild",
    ingest_events: "the ingestion of events",
}


def make_files_of_killed_store(folder: Path, harm: Callable[[Path], None]) -> dict[str, int]:
    """Make a log and a projection that is behind it, with a write-ahead log. Return the positions by event id."""
    running = folder.with_name("running") / LOG
    running.parent.mkdir()
    for number in range(5):
        record(running, history(f"before-{number}"), keyed_event)
    with closing(EmbeddedStore(running, CAPACITY)) as store:
        ingest([keyed_event(body) for body in history("in-projection")], store.unit_of_work())
        store.checkpoint()
        ingest([keyed_event(body) for body in history("in-log-only")], store.unit_of_work())
        store.log.flush()
        store._projection.finish_compaction()  # else run files come and go while the folder is copied
        positions = {entry["event_id"]: entry["position"] for entry in audited(running)}
        harm(running)
        shutil.copytree(running.parent, folder)
    return positions


def has_run_file(folder: Path) -> bool:
    return any(folder.glob("*.keys-*"))


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("harm", [unharmed, with_torn_tail, without_projection, with_projection_of_older_version])
def test_acknowledged_events_survive_a_power_cut_after_any_step(
    harm: Callable[[Path], None], work: Callable[[Path], None], tmp_path: Path, fault_report: FaultReport
) -> None:
    # given the files of a killed store
    positions = make_files_of_killed_store(tmp_path / "given", harm)
    assert has_run_file(tmp_path / "given") or harm is without_projection
    assert len({bool(key_of(event_id)) for event_id in positions}) == 2
    seed, folders = random.randrange(2**32), list[Path]()
    print(f"{seed=}")  # pytest shows it if the test fails
    chance = random.Random(seed)
    # when the power is cut after each step of some work on them
    for number in range(TIMES):
        with (
            lossy_disk(tmp_path / f"disk-{number}", tmp_path / "given") as disk,
            disk.power_cut_after_each_change(tmp_path / f"cuts-{number}", chance.getrandbits(64)) as cuts,
        ):
            work(disk.folder / LOG)
        folders += chance.sample(cuts, min(STEPS, len(cuts)))
    # then a start finds every acknowledged event
    outcome = restart_on(*(DiskImage(folder, positions, has_keys=True) for folder in folders))
    fault_report.add(POWER, f"power cut after each step of {WORKS[work]}", outcome)
    outcome.assert_nothing_lost_or_bricked()
    assert outcome.faults >= 3 * TIMES


def test_the_name_of_a_new_log_is_as_durable_as_its_first_event(tmp_path: Path) -> None:
    body = registered()
    images = [DiskImage(tmp_path / f"cut-{seed}", {body["event_id"]: 1}) for seed in range(QUITE_OFTEN)]
    with lossy_disk(tmp_path / "disk") as disk, closing(LogWriter(disk.folder / LOG)) as log:
        log.append([event(body)], RECORDED_AT)
        log.flush()
        for seed, image in enumerate(images):
            disk.cut_power(image.folder, seed)
    restart_on(*images).assert_nothing_lost_or_bricked()


@pytest.mark.parametrize("memtable_min", [10, 1_000], ids=["with a run file", "without a run file"])
def test_a_power_cut_leaves_no_old_write_ahead_log_beside_a_rebuilt_projection(
    memtable_min: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would take it for the write-ahead log of the new database, and mix both."""
    # given a projection with a write-ahead log; writing a run file flushes the folder, too
    monkeypatch.setattr(index, "MEMTABLE_MIN", memtable_min)
    make_files_of_killed_store(tmp_path / "given", unharmed)
    assert has_run_file(tmp_path / "given") == (memtable_min == 10)
    assert (tmp_path / "given" / f"{projection_path(Path(LOG)).name}-wal").stat().st_size > 0
    old, cuts = files_beside(tmp_path / "given" / LOG), [tmp_path / f"cut-{seed}" for seed in range(OFTEN)]
    # when the power is cut after a rebuild
    with lossy_disk(tmp_path / "disk", tmp_path / "given") as disk:
        rebuild_projection(disk.folder / LOG)
        for seed, cut in enumerate(cuts):
            disk.cut_power(cut, seed)
    # then the database is the old one, or has no write-ahead log
    name = projection_path(Path(LOG)).name
    for cut in cuts:
        found = files_beside(cut / LOG)
        assert found.get(name, old[name]) == old[name] or f"{name}-wal" not in found
