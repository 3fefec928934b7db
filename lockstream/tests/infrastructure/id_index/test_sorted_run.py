"""Most keys are in a file beside the projection: what is known there is known for ever, and the file may go astray."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED, RESERVATION_ALREADY_EXISTS
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.infrastructure.id_index.sorted_run import write_run
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.services.commands.verify import verify
from lockstream.tests.support.builders import Body, event, picked_up, registered, reserved
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, hashes_after_start, history

LEAST = 20
"""Keys that may be recent here, so that some dozens of events make runs."""

LIVES = [history(f"locker-{number}") for number in range(20)]
LAST, MORE = registered("last"), registered("more")
BODIES = [*(body for one in LIVES for body in one), LAST, MORE]


@pytest.fixture(autouse=True)
def soon_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", LEAST)
    monkeypatch.setattr(known_keys, "MEMTABLE_SHARE", 4)


@contextmanager
def opened(log: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(log, CAPACITY)) as store:
        yield store


def taken_in(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    outcomes = ingest([event(body) for body in bodies], store.unit_of_work())
    store.checkpoint()
    return outcomes


def runs(log: Path) -> list[Path]:
    return sorted(log.parent.glob("*.keys-*"), key=lambda path: int(path.name.rpartition("-")[2]))


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log whose keys are nearly all in a run, and in nothing else."""
    with opened(log_path) as store:
        for one in LIVES:
            taken_in(store, *one)
    started_anew(log_path)
    with opened(log_path) as store:
        taken_in(store, LAST)  # from now on what is in the run is nowhere else
        store._keeper.finish()
        taken_in(store, MORE)
    with opened(log_path) as store:
        assert len(store._rows.known.recent) <= LEAST
    return log_path


def started_anew(log: Path) -> None:
    projection_path(log).unlink()
    hashes_after_start(log)


def assert_all_is_known(log: Path, bodies: Sequence[Body] = BODIES) -> None:
    """As duplicates, whatever the order; and what stands on what they made is seen."""
    with opened(log) as store:
        assert taken_in(store, *bodies) == [Duplicate(position) for position in range(1, len(bodies) + 1)]
        assert [taken_in(store, body)[0] for body in reversed(bodies)] == [
            Duplicate(position) for position in range(len(bodies), 0, -1)
        ]
        again = registered("c1", locker="locker-3"), reserved("locker-7-parcel-2", "c1", locker="locker-3")
        assert taken_in(store, *again) == [COMPARTMENT_ALREADY_REGISTERED, RESERVATION_ALREADY_EXISTS]
        assert hashes(store.queries) == hashes_after_replay(log)


def test_an_event_that_is_only_in_the_run_is_a_duplicate_after_a_restart(log: Path) -> None:
    with opened(log) as store:
        recent = store._rows.known.recent
        assert not [body for body in BODIES[:-2] if body["event_id"] in recent]
    assert_all_is_known(log)


def test_runs_are_merged_beside_what_comes_in_and_no_more_than_two_files_are_kept(log_path: Path) -> None:
    with opened(log_path) as store:
        for position, body in enumerate(BODIES, 1):
            assert taken_in(store, body, body) == [Accepted(position), Duplicate(position)]
            assert taken_in(store, BODIES[position // 2]) == [Duplicate(position // 2 + 1)]
            assert len(runs(log_path)) <= 3, "the one before, the one now, and the next"
        for more in ("even more", "and more"):  # what has come in during the last merge is for the next one
            store._keeper.finish()
            taken_in(store, registered(more))
        assert store._projection.kept_run.position > len(BODIES) // 2
    assert_all_is_known(log_path)
    assert verify(log_path, lambda reached: None).problems == []


def test_a_key_of_another_event_that_looks_alike_is_new(log: Path) -> None:
    other = registered("new")
    (like,) = known_keys._hashes([other["event_id"]])
    with opened(log) as store:
        known = store._rows.known
        known._run = np.sort(np.append(known._run, [np.uint64(like), np.uint64(like | 2)]))
        assert taken_in(store, BODIES[0], other) == [Duplicate(1), Accepted(203)]
        assert taken_in(store, other) == [Duplicate(203)]


def test_the_log_is_read_for_the_ids_of_events_only(log: Path) -> None:
    """What a compartment or a reservation is now stands in the projection."""
    with opened(log) as store:
        cannot_be_read = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(cannot_be_read, store.log._file)
        os.close(cannot_be_read)
        outcomes = taken_in(
            store, picked_up("locker-3-parcel-3", locker="locker-3"), registered("c1", locker="locker-5")
        )
        assert outcomes == [Accepted(203), COMPARTMENT_ALREADY_REGISTERED]
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            taken_in(store, BODIES[0])


def missing(run: Path) -> None:
    run.unlink()


def empty(run: Path) -> None:
    run.write_bytes(b"")


def cut(run: Path) -> None:
    os.truncate(run, run.stat().st_size - 8)


def torn(run: Path) -> None:
    os.truncate(run, run.stat().st_size - 3)


def flipped(run: Path) -> None:
    content = bytearray(run.read_bytes())
    content[len(content) // 2] ^= 4
    run.write_bytes(content)


def older(run: Path) -> None:
    content = run.read_bytes()
    run.write_bytes(np.frombuffer(content, "<u8")[::2].tobytes())


@pytest.mark.parametrize("harm", [missing, empty, cut, torn, flipped, older])
def test_a_run_that_is_not_what_was_written_has_the_projection_made_anew(
    log: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    run = runs(log)[-1]
    harm(run)
    assert str(run) in "\n".join(verify(log, lambda reached: None).problems)
    with caplog.at_level(logging.WARNING):
        assert hashes_after_start(log) == hashes_after_replay(log)
    assert "made anew" in caplog.text
    assert str(run) in caplog.text
    assert verify(log, lambda reached: None).problems == []
    assert_all_is_known(log)


def test_a_projection_from_before_the_run_catches_up(log_path: Path) -> None:
    former: dict[Path, bytes] = {}
    with opened(log_path) as store:
        for one in LIVES:
            taken_in(store, *one)
            if one is LIVES[3]:
                store._keeper.finish()  # or a file might go while it is read
                former = {path: path.read_bytes() for path in log_path.parent.iterdir() if path != log_path}
    for path in log_path.parent.iterdir():
        if path != log_path and path not in former:
            path.unlink()
    for path, content in former.items():
        path.write_bytes(content)
    assert_all_is_known(log_path, BODIES[:-2])


def test_a_run_that_lacks_a_key_is_noticed_and_a_rebuild_mends_it(log: Path) -> None:
    projection = projection_path(log)
    with opened(log) as store:
        run, position = store._rows.known._run, store._projection.run.position
    (lost,) = known_keys._hashes([BODIES[3]["event_id"]])
    lacking = run[run >> 28 != lost >> 28]
    assert lacking.size < run.size
    kept = write_run(projection, lacking, position)
    with closing(sqlite3.connect(projection)) as database, database:
        database.execute("UPDATE progress SET run_checksum = ?", [kept.checksum])
    (problem,) = verify(log, lambda reached: None).problems
    assert f"differs from the log in 1 places: the key '{BODIES[3]['event_id']}'" in problem
    started_anew(log)
    assert verify(log, lambda reached: None).problems == []


def test_a_run_that_cannot_be_written_is_tried_again(log_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = projection_path(log_path).with_name(f"{projection_path(log_path).name}.keys-1")
    with opened(log_path) as store, caplog.at_level(logging.WARNING):
        in_the_way.mkdir()  # it is to be removed as what is left of a run before, and cannot be
        for one in LIVES[:10]:
            taken_in(store, *one)
            store._keeper.finish()
        assert store._projection.run.position == 0
        assert "tried again" in caplog.text
        in_the_way.rmdir()
        for one in LIVES[10:]:
            taken_in(store, *one)
            store._keeper.finish()
        assert store._projection.kept_run.position > 100
    assert_all_is_known(log_path, BODIES[:-2])


def test_a_server_that_has_merged_meanwhile_is_no_problem_to_verify(log: Path) -> None:
    """It removes the run before the last: the one that was named when the projection was looked at."""
    run = runs(log)[-1]
    assert verify(log, lambda reached: run.unlink(missing_ok=True)).problems == []
    assert not run.exists()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped into memory")
def test_a_run_is_its_file_in_memory_that_can_be_had_back(log_path: Path) -> None:
    with opened(log_path) as store:
        for one in LIVES:
            taken_in(store, *one)
        store._keeper.finish()
        taken_in(store, LAST)
        store._keeper.finish()  # of one that is being merged there may be a file already
        assert str(runs(log_path)[-1]) in Path("/proc/self/maps").read_text()
