"""A disk that takes only a part of a batch, for real: the batch counts for nothing, and a restart recovers the log."""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.log_line import encode_lines, utc_now
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.tests.crash.disk_image import LOG, DiskImage, restart_on
from lockstream.tests.crash.fault_report import CALLS, FULL, FaultOutcome, FaultReport
from lockstream.tests.support.builders import Body, event, picked_up
from lockstream.tests.support.histories import CAPACITY, hashes, hashes_after_replay, history
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import file_size_limit

FEW = [0, 1, 200, 1_000]
"""Numbers of bytes of a batch that are written, unless every number is tried."""

each_part = pytest.mark.parametrize("written", FEW, ids="{}_bytes_written".format)


def ingested(store: EmbeddedStore, bodies: Sequence[Body]) -> list[Outcome]:
    return ingest([event(body) for body in bodies], store.unit_of_work())


def fail_write(store: EmbeddedStore, batch: Sequence[Body], written: int) -> None:
    """Let `store` accept the ten events of a history, and then fail after `written` bytes of `batch`."""
    ingested(store, history())
    store.checkpoint()
    with file_size_limit(store.log.end.offset + written), pytest.raises(StoreUnavailable) as raised:
        ingested(store, batch)
    assert str(store.log.path) in str(raised.value)
    assert store.log.path.stat().st_size == store.log.end.offset + written


@each_part
def test_a_partly_written_batch_changes_nothing(log_path: Path, written: int) -> None:
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail_write(store, history("locker-2"), written)
        store.discard_unflushed()
        assert store.log.end.position == 10
        assert hashes(store.reads).keys() == {"locker-1"}


@each_part
def test_after_a_failed_write_nothing_more_is_written_and_reads_go_on(log_path: Path, written: int) -> None:
    batch = history("locker-2")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail_write(store, batch, written)
        before = log_path.read_bytes()
        for later in (batch, [picked_up("locker-1-parcel-3")]):
            with pytest.raises(StoreUnavailable):
                ingested(store, later)
        assert log_path.read_bytes() == before
        assert hashes(store.reads).keys() == {"locker-1"}


def restart_and_remove(log: Path) -> FaultOutcome:
    """Restart on a log of twenty acknowledged events, and remove its folder."""
    positions = {entry["event_id"]: entry["position"] for entry in audited(log)}
    assert len(positions) == 20
    outcome = restart_on(DiskImage(log.parent, positions))
    shutil.rmtree(log.parent)
    return outcome


SHARES = 16 if FULL else 1
"""Tests that share the numbers of written bytes, so that they run in parallel."""

each_share = pytest.mark.parametrize("share", range(SHARES))


def parts(share: int) -> Sequence[int]:
    """Return how many bytes of a batch are written: a share of every number, or a few."""
    lines, _ = encode_lines([event(body) for body in history("locker-2")], utc_now(), Cursor(10))
    return range(share, len(b"".join(lines)), SHARES) if FULL else FEW


@each_share
def test_a_restart_after_a_failed_write_recovers_the_log(tmp_path: Path, fault_report: FaultReport, share: int) -> None:
    outcome = FaultOutcome()
    for written in parts(share):
        # given a batch of which only a part was written
        log = tmp_path / str(written) / LOG
        log.parent.mkdir()
        batch = history("locker-2")
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            fail_write(store, batch, written)
            acknowledged = log.read_bytes()[: store.log.end.offset]
        # when the store is restarted
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            # then the acknowledged events are there, and the batch can be sent again
            assert log.read_bytes().startswith(acknowledged)
            complete = len(audited(log)) - 10
            outcomes = ingested(store, batch)
            assert [type(one) for one in outcomes] == [Duplicate] * complete + [Accepted] * (10 - complete)
            store.checkpoint()
            assert hashes(store.reads) == hashes_after_replay(log)
        outcome += restart_and_remove(log)
    fault_report.add(CALLS, "write: a part is written, and nothing more", outcome)
    outcome.assert_nothing_lost_or_bricked()


@each_share
def test_a_short_write_is_followed_by_a_write_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault_report: FaultReport, share: int
) -> None:
    outcome, write = FaultOutcome(), os.write
    for first in parts(share):
        log = tmp_path / str(first) / LOG
        log.parent.mkdir()
        sizes = iter([max(first, 1)])  # a write of 0 bytes would not be a short write
        with closing(EmbeddedStore(log, CAPACITY)) as store, monkeypatch.context() as patched:
            ingested(store, history())
            patched.setattr(os, "write", lambda file, data: write(file, data[: next(sizes, len(data))]))  # noqa: B023
            ingested(store, history("locker-2"))
            store.checkpoint()
        assert next(sizes, None) is None, "no write was short"
        outcome += restart_and_remove(log)
    fault_report.add(CALLS, "write: short, and the rest with the next write", outcome)
    outcome.assert_nothing_lost_or_bricked()
