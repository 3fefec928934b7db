"""A disk that takes only a part of a batch, for real: nothing of it counts, nothing follows it, a restart heals."""

import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.tests.crash.fault_report import FULL, Fate, Tally
from lockstream.tests.crash.power import LOG, Cut, fate
from lockstream.tests.support.builders import Body, event, picked_up
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history
from lockstream.tests.support.log_audit import audited

FEW = [0, 1, 200, 1_000]

PARTS = pytest.mark.parametrize("written", FEW, ids="{}_bytes_written".format)


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Have the kernel refuse every byte behind `size`, with EFBIG; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def taken_in(store: EmbeddedStore, bodies: Sequence[Body]) -> list[Outcome]:
    return ingest([event(body) for body in bodies], store.unit_of_work())


def fail(store: EmbeddedStore, batch: Sequence[Body], written: int) -> None:
    """Have `store` acknowledge the ten events of `life`, then fail with `batch` when so many bytes are written."""
    taken_in(store, history())
    store.checkpoint()
    with no_file_longer_than(store.log.end.offset + written), pytest.raises(StoreUnavailable) as raised:
        taken_in(store, batch)
    assert str(store.log.path) in str(raised.value)
    assert store.log.path.stat().st_size == store.log.end.offset + written


@PARTS
def test_a_batch_that_was_written_in_part_changes_nothing(log_path: Path, written: int) -> None:
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail(store, history("locker-2"), written)
        store.fall_back()
        assert store.log.end.position == 10
        assert hashes(store.queries).keys() == {"locker-1"}


@PARTS
def test_nothing_more_is_written_behind_a_failed_write_and_reads_go_on(log_path: Path, written: int) -> None:
    batch = history("locker-2")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail(store, batch, written)
        before = log_path.read_bytes()
        for again in (batch, [picked_up("locker-1-parcel-3")]):
            with pytest.raises(StoreUnavailable):
                taken_in(store, again)
        assert log_path.read_bytes() == before
        assert hashes(store.queries).keys() == {"locker-1"}


def fate_of_all(log: Path) -> Fate:
    """What becomes of the twenty events that are in a log by now; its folder is removed."""
    positions = {entry["event_id"]: entry["position"] for entry in audited(log)}
    assert len(positions) == 20
    found = fate(Cut(log.parent, positions))
    shutil.rmtree(log.parent)
    return found


def parts() -> Iterator[int]:
    """How many bytes of a batch are written: each number that there is, or a few."""
    longest = len(encode_lines([event(body) for body in history("locker-2")], stamp(), Cursor(10))[0])
    yield from range(longest) if FULL else FEW


def test_a_restart_after_a_failed_write_heals(tmp_path: Path, tally: Tally) -> None:
    found = Fate()
    for written in parts():
        log = tmp_path / str(written) / LOG
        log.parent.mkdir()
        batch = history("locker-2")
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            fail(store, batch, written)
            acknowledged = log.read_bytes()[: store.log.end.offset]
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            assert log.read_bytes().startswith(acknowledged)
            whole = len(audited(log)) - 10
            outcomes = taken_in(store, batch)
            assert [type(outcome) for outcome in outcomes] == [Duplicate] * whole + [Accepted] * (10 - whole)
            store.checkpoint()
            assert hashes(store.queries) == hashes_after_replay(log)
        found += fate_of_all(log)
    tally("2", "write: a part is written, and no more", found)
    found.assert_none_lost_and_none_bricked()


def test_a_write_that_takes_a_part_at_a_time_takes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """A short write is no failure: the rest goes with the next call."""
    found, write = Fate(), os.write
    for first in parts():
        log = tmp_path / str(first) / LOG
        log.parent.mkdir()
        sizes = iter([max(first, 1)])  # a write of nothing would not be called short
        with closing(EmbeddedStore(log, CAPACITY)) as store, monkeypatch.context() as patched:
            taken_in(store, history())
            patched.setattr(os, "write", lambda file, data: write(file, data[: next(sizes, len(data))]))  # noqa: B023
            taken_in(store, history("locker-2"))
            store.checkpoint()
        assert next(sizes, None) is None, "nothing was written in parts"
        found += fate_of_all(log)
    tally("2", "write: short, and the rest with the next one", found)
    found.assert_none_lost_and_none_bricked()
