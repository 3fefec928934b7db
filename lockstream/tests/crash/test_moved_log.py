"""A log that another program moves, replaces or truncates under a running store.

The store acknowledges no event that a start would not find. A restart is refused if the log has lost acknowledged
events, although the projection may not have reached them.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged, StartRefused, StoreUnavailable
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore, rebuild
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.crash.faults import acknowledged_on_disk
from lockstream.tests.support.builders import LOCKER, Body, event, registered
from lockstream.tests.support.faulty_store import progress_of
from lockstream.tests.support.histories import (
    CAPACITY,
    files_beside,
    hashes,
    hashes_after_replay,
    hashes_after_start,
    history,
    record,
)
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server, wait_until

type Harm = Callable[[Path], None]


@pytest.fixture
def store(log_path: Path) -> Iterator[EmbeddedStore]:
    """A running store of ten acknowledged events."""
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


def emptied(log: Path) -> None:
    """Truncate the log to nothing, as logrotate does with the option `copytruncate`."""
    os.truncate(log, 0)


def lengthened(log: Path) -> None:
    log.write_bytes(log.read_bytes() + b"# a note\n")


def without_the_last_line(log: Path) -> None:
    os.truncate(log, log.read_bytes().rindex(b"\n", 0, -1) + 1)


def without_half_of_the_last_line(log: Path) -> None:
    os.truncate(log, log.stat().st_size - 100)


def without_the_last_line_end(log: Path) -> None:
    os.truncate(log, log.stat().st_size - 1)


TRUNCATIONS = [emptied, without_the_last_line, without_half_of_the_last_line]
HARMS = [moved, removed, replaced_by_a_copy, rotated, lengthened, without_the_last_line_end, *TRUNCATIONS]


def assert_refuses(store: EmbeddedStore, body: Body) -> None:
    end = store.log.end
    with pytest.raises(StoreUnavailable) as raised:
        ingest([event(body)], store.unit_of_work())
    assert str(store.log.path) in str(raised.value)
    assert store.log.end == end


@pytest.mark.parametrize("harm", HARMS)
def test_a_store_accepts_no_event_after_its_log_was_harmed(log_path: Path, store: EmbeddedStore, harm: Harm) -> None:
    # given a running store
    content = log_path.read_bytes()
    # when its log is harmed
    harm(log_path)
    # then it accepts no event and touches no file, and reads go on
    left = log_path.read_bytes() if log_path.exists() else None
    for number in range(3):
        assert_refuses(store, registered(f"new-{number}"))
    assert (log_path.read_bytes() if log_path.exists() else None) == left
    away = log_path.with_name("moved.jsonl")
    if away.exists():
        assert away.read_bytes() == content
    assert hashes(store.reads).keys() == {LOCKER}


def test_a_refusal_says_that_the_log_was_moved_or_replaced(log_path: Path, store: EmbeddedStore) -> None:
    replaced_by_a_copy(log_path)
    with pytest.raises(StoreUnavailable, match=r"moved|replaced|removed"):
        ingest([event(registered("c3"))], store.unit_of_work())


def test_a_second_store_at_the_same_path_does_not_touch_the_log_of_the_first(
    log_path: Path, store: EmbeddedStore
) -> None:
    # given a store whose log was moved away, with all files that belong to it
    away = log_path.with_name("moved.jsonl")
    acknowledged = log_path.read_bytes()
    log_path.rename(away)
    for suffix in ("", "-wal", "-shm"):
        projection = log_path.with_name(f"{log_path.name}.projection.sqlite{suffix}")
        if projection.exists():
            projection.rename(away.with_name(f"{away.name}.projection.sqlite{suffix}"))
    # when a second store starts at the same path
    with closing(EmbeddedStore(log_path, CAPACITY)) as second:
        ingest([event(body) for body in history("second")], second.unit_of_work())
        # then each has its own events only
        assert_refuses(store, registered("c3"))
        second.checkpoint()
        assert hashes(second.reads).keys() == {"second"}
    assert away.read_bytes() == acknowledged
    assert len(audited(away)) == len(audited(log_path)) == 10


def harm_under_running_store(log: Path, harm: Harm) -> bytes:
    """Harm the log of a store whose ten durable events no checkpoint has written, and return its former content.

    The store then refuses an event, and is closed.
    """
    with closing(EmbeddedStore(log, CAPACITY)) as store:
        ingest([event(body) for body in history()], store.unit_of_work())
        store.log.flush()
        content = log.read_bytes()
        harm(log)
        assert_refuses(store, registered("c3"))
    return content


@pytest.mark.parametrize("harm", [moved, removed, rotated, *TRUNCATIONS])
def test_a_restart_is_refused_if_the_log_lost_events_under_a_running_store(log_path: Path, harm: Harm) -> None:
    # given a store whose log lost acknowledged events, which no checkpoint had written
    content = harm_under_running_store(log_path, harm)
    before = files_beside(log_path)
    # when it is restarted, then the start is refused and has changed nothing
    refusal = r"has seen 10 acknowledged events.*`lockstream rebuild`" if log_path.exists() else "has seen 10 events"
    for _ in range(2):
        with pytest.raises((LogFileDamaged, StartRefused), match=refusal):
            EmbeddedStore(log_path, CAPACITY)
        assert files_beside(log_path) == before
    # when the log is restored, then the start finds every event
    log_path.write_bytes(content)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert len(audited(log_path)) == 10


@pytest.mark.parametrize("harm", TRUNCATIONS)
def test_a_rebuild_accepts_a_log_that_was_truncated_under_a_running_store(log_path: Path, harm: Harm) -> None:
    harm_under_running_store(log_path, harm)
    rebuild(log_path, CAPACITY)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)


@pytest.mark.parametrize("harm", [replaced_by_a_copy, lengthened, without_the_last_line_end])
def test_a_restart_finds_every_event_if_the_log_has_lost_none(log_path: Path, harm: Harm) -> None:
    content = harm_under_running_store(log_path, harm)
    assert hashes_after_start(log_path) == hashes_after_replay(log_path)
    assert log_path.read_bytes() == content


@pytest.mark.parametrize("harm", TRUNCATIONS)
def test_a_restart_is_refused_if_no_event_arrived_after_the_truncation(log_path: Path, harm: Harm) -> None:
    async def truncate_while_running() -> None:
        lockstream = deployment_of(settings).start()
        await lockstream.ingest([event(body) for body in history()])
        harm(log_path)
        assert str(log_path) in str(lockstream.unavailable_reason)
        await lockstream.close()

    settings = Settings(event_log_path=log_path)
    asyncio.run(truncate_while_running())
    with pytest.raises(LogFileDamaged, match="has seen 10 acknowledged events"):
        deployment_of(settings).start()


@pytest.mark.parametrize(
    ("harm", "ending"),
    [(emptied, signal.SIGTERM), (without_the_last_line, signal.SIGKILL)],
    ids=["emptied and stopped", "truncated and killed"],
)
def test_a_server_is_not_restarted_on_a_log_that_was_truncated_under_it(
    log_path: Path, harm: Harm, ending: signal.Signals
) -> None:
    events = history()
    with Server(log_path).start() as server:
        # given a server with acknowledged events
        assert [server.post(json.dumps(body).encode()) for body in events] == [202] * 10
        wait_until(lambda: progress_of(log_path).reached.position == 10)  # before, reads are refused as well
        # when its log is truncated
        harm(log_path)
        # then it accepts no event, says so, and notes how many it has acknowledged
        assert server.post(json.dumps(registered("c3")).encode()) == 503
        assert server.get("/health/ready")[0] == 503
        assert server.get(f"/lockers/{LOCKER}")[0] == 200
        wait_until(lambda: acknowledged_on_disk(log_path) == len(events))
        assert server.stop(ending) in (0, -signal.SIGKILL)
    # then the next start is refused, and leaves the log as it is
    left = log_path.read_bytes()
    with pytest.raises(LogFileDamaged, match="has seen 10 acknowledged events"):
        deployment_of(Settings(event_log_path=log_path)).start()
    assert log_path.read_bytes() == left
