"""The power goes while a start mends, a rebuild is made or events are taken in: after each single step of it."""

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
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.tests.crash.fault_report import FULL, Tally
from lockstream.tests.crash.lossy_fs.mounted import lossy_disk, needs_lossy_disk
from lockstream.tests.crash.power import LOG, Cut, fate
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.histories import CAPACITY, files_beside, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited

pytestmark = needs_lossy_disk

OFTEN, QUITE_OFTEN = 100, 15

TIMES, STEPS = (2, 1_000) if FULL else (1, 3)
"""How often all is done, each time with other cuts, and how many of its steps are looked at then."""


@pytest.fixture(autouse=True)
def soon_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a log of some dozen events has a file of keys, and gets new ones."""
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", 10)


def as_it_was(log: Path) -> None:
    pass


def torn(log: Path) -> None:
    with log.open("r+b") as file:
        line = file.readline()
        file.seek(0, os.SEEK_END)
        file.write(line[: len(line) // 2])


def without_a_projection(log: Path) -> None:
    for path in log.parent.glob(f"{projection_path(log).name}*"):
        path.unlink()


def with_one_of_an_older_version(log: Path) -> None:
    with closing(sqlite3.connect(projection_path(log))) as database, database:
        database.execute("UPDATE progress SET schema = 'older'")


def start(log: Path) -> None:
    hashes_after_start(log)


def rebuild_it(log: Path) -> None:
    rebuild(log, CAPACITY)


def take_in(log: Path) -> None:
    with closing(EmbeddedStore(log, CAPACITY)) as store:
        for number in range(3):
            ingest([event(body) for body in history(f"new-{number}")], store.unit_of_work())
            store.checkpoint()


DOING: dict[Callable[[Path], None], str] = {start: "a start", rebuild_it: "a rebuild", take_in: "taking events in"}


def left_by_a_kill(folder: Path, harm: Callable[[Path], None]) -> dict[str, int]:
    """A projection that lies behind its log, with a write-ahead log of its own; returns positions by id."""
    running = folder.with_name("running") / LOG
    running.parent.mkdir()
    for number in range(5):
        record(running, history(f"before-{number}"))
    with closing(EmbeddedStore(running, CAPACITY)) as store:
        ingest([event(body) for body in history("settled")], store.unit_of_work())
        store.checkpoint()
        ingest([event(body) for body in history("flushed")], store.unit_of_work())
        store.log.flush()
        store._keeper.finish()  # what is merged beside does not come and go while it is copied
        known = {entry["event_id"]: entry["position"] for entry in audited(running)}
        harm(running)
        shutil.copytree(running.parent, folder)
    return known


@pytest.mark.parametrize("doing", DOING)
@pytest.mark.parametrize("harm", [as_it_was, torn, without_a_projection, with_one_of_an_older_version])
def test_what_was_acknowledged_survives_a_power_cut_after_each_step(
    harm: Callable[[Path], None], doing: Callable[[Path], None], tmp_path: Path, tally: Tally
) -> None:
    known, seed, cuts = left_by_a_kill(tmp_path / "given", harm), random.randrange(2**32), list[Path]()
    print(f"{seed=}")  # shown where it fails
    chance = random.Random(seed)
    for number in range(TIMES):
        with (
            lossy_disk(tmp_path / f"disk-{number}", tmp_path / "given") as disk,
            disk.cut_at_each_change(tmp_path / f"cuts-{number}", chance.getrandbits(64)) as folders,
        ):
            doing(disk.folder / LOG)
        cuts += chance.sample(folders, min(STEPS, len(folders)))
    found = fate(*(Cut(folder, known) for folder in cuts))
    tally("3", f"power cut after each step of {DOING[doing]}", found)
    found.assert_none_lost_and_none_bricked()
    assert found.faults >= 3 * TIMES


def test_the_name_of_a_new_log_is_as_sure_as_its_first_event(tmp_path: Path) -> None:
    body = registered()
    cuts = [Cut(tmp_path / f"cut-{seed}", {body["event_id"]: 1}) for seed in range(QUITE_OFTEN)]
    with lossy_disk(tmp_path / "disk") as disk, closing(LogWriter(disk.folder / LOG)) as log:
        log.append([event(body)])
        log.flush()
        for seed, cut in enumerate(cuts):
            disk.cut(cut.folder, seed)
    fate(*cuts).assert_none_lost_and_none_bricked()


def test_the_write_ahead_log_of_an_old_projection_does_not_come_back_beside_a_new_one(tmp_path: Path) -> None:
    """SQLite would take it for the new one's, and mix both."""
    left_by_a_kill(tmp_path / "given", as_it_was)
    old, cuts = files_beside(tmp_path / "given" / LOG), [tmp_path / f"cut-{seed}" for seed in range(OFTEN)]
    with lossy_disk(tmp_path / "disk", tmp_path / "given") as disk:
        rebuild_it(disk.folder / LOG)
        for seed, cut in enumerate(cuts):
            disk.cut(cut, seed)
    name = projection_path(Path(LOG)).name
    for cut in cuts:
        found = files_beside(cut / LOG)
        assert found.get(name, old[name]) == old[name] or f"{name}-wal" not in found
