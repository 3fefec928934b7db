"""A disk that takes only a part of a batch, for real: nothing of it counts, nothing follows it, a restart heals."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.embedded import EmbeddedStore
from lockstream.services.verification import verify
from lockstream.tests.crash.audit import audited
from lockstream.tests.crash.history import CAPACITY, hashes, life, replayed
from lockstream.tests.given import Body, event, picked_up

PARTS = pytest.mark.parametrize("written", [0, 1, 200, 1_000], ids="{}_bytes_written".format)


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
    taken_in(store, life())
    store.settle()
    with no_file_longer_than(store.log.end.offset + written), pytest.raises(StoreUnavailable) as raised:
        taken_in(store, batch)
    assert str(store.log.path) in str(raised.value)
    assert store.log.path.stat().st_size == store.log.end.offset + written


@PARTS
def test_a_batch_that_was_written_in_part_changes_nothing(log_path: Path, written: int) -> None:
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail(store, life("locker-2"), written)
        store.fall_back()
        assert store.log.end.position == 10
        assert hashes(store.queries).keys() == {"locker-1"}


@PARTS
def test_nothing_more_is_written_behind_a_failed_write_and_reads_go_on(log_path: Path, written: int) -> None:
    batch = life("locker-2")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail(store, batch, written)
        before = log_path.read_bytes()
        for again in (batch, [picked_up("locker-1-parcel-3")]):
            with pytest.raises(StoreUnavailable):
                taken_in(store, again)
        assert log_path.read_bytes() == before
        assert hashes(store.queries).keys() == {"locker-1"}


@PARTS
def test_a_restart_after_a_failed_write_heals(log_path: Path, written: int) -> None:
    batch = life("locker-2")
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        fail(store, batch, written)
        acknowledged = log_path.read_bytes()[: store.log.end.offset]
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        assert log_path.read_bytes().startswith(acknowledged)
        whole_lines = len(audited(log_path)) - 10
        outcomes = taken_in(store, batch)
        assert [type(outcome) for outcome in outcomes] == [Duplicate] * whole_lines + [Accepted] * (10 - whole_lines)
        store.settle()
        assert hashes(store.queries) == replayed(log_path)
    assert len(audited(log_path)) == 20
    assert verify(log_path, lambda reached: None).problems == []
