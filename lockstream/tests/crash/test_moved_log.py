"""A log that is moved or removed under a running store: nothing is acknowledged that a start would not find."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.tests.support.builders import Body, event, registered
from lockstream.tests.support.histories import CAPACITY, hashes, history, record
from lockstream.tests.support.log_audit import audited


@pytest.fixture
def store(log_path: Path) -> Iterator[EmbeddedStore]:
    """A running store that has acknowledged ten events."""
    record(log_path, history())
    with closing(EmbeddedStore(log_path, CAPACITY)) as store:
        yield store


def moved(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))


def removed(log: Path) -> None:
    log.unlink()


def replaced_by_a_copy(log: Path) -> None:
    copy = log.with_name("copy.jsonl")
    copy.write_bytes(log.read_bytes())
    copy.rename(log)


def rotated(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))
    log.touch()


def shortened(log: Path) -> None:
    log.write_bytes(b"")


def lengthened(log: Path) -> None:
    log.write_bytes(log.read_bytes() + b"# a note\n")


def assert_refuses(store: EmbeddedStore, body: Body) -> None:
    end = store.log.end
    with pytest.raises(StoreUnavailable) as raised:
        ingest([event(body)], store.unit_of_work())
    assert str(store.log.path) in str(raised.value)
    assert store.log.end == end


@pytest.mark.parametrize("harm", [moved, removed, replaced_by_a_copy, rotated, shortened, lengthened])
def test_nothing_is_acknowledged_any_more(log_path: Path, store: EmbeddedStore, harm: Callable[[Path], None]) -> None:
    content = log_path.read_bytes()
    harm(log_path)
    there = log_path.read_bytes() if log_path.exists() else None
    for number in range(3):
        assert_refuses(store, registered(f"new-{number}"))
    assert (log_path.read_bytes() if log_path.exists() else None) == there
    away = log_path.with_name("moved.jsonl")
    if away.exists():
        assert away.read_bytes() == content
    assert hashes(store.queries).keys() == {"locker-1"}, "reads go on"


def test_it_says_what_happened(log_path: Path, store: EmbeddedStore) -> None:
    replaced_by_a_copy(log_path)
    with pytest.raises(StoreUnavailable, match=r"moved|replaced|removed"):
        ingest([event(registered("c3"))], store.unit_of_work())


def test_a_second_store_at_the_same_place_does_not_disturb_what_the_first_has_acknowledged(
    log_path: Path, store: EmbeddedStore
) -> None:
    away = log_path.with_name("moved.jsonl")
    acknowledged = log_path.read_bytes()
    log_path.rename(away)
    for suffix in ("", "-wal", "-shm"):  # what belongs to the log goes with it
        projection = log_path.with_name(f"{log_path.name}.projection.sqlite{suffix}")
        if projection.exists():
            projection.rename(away.with_name(f"{away.name}.projection.sqlite{suffix}"))
    with closing(EmbeddedStore(log_path, CAPACITY)) as second:
        ingest([event(body) for body in history("second")], second.unit_of_work())
        assert_refuses(store, registered("c3"))
        second.checkpoint()
        assert hashes(second.queries).keys() == {"second"}
    assert away.read_bytes() == acknowledged
    assert len(audited(away)) == len(audited(log_path)) == 10
