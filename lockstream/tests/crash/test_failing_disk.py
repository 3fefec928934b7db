"""A server whose disk fails, for real: writes get 503 until a restart, reads go on, and a restart finds every event."""

import json
import re
import resource
import signal
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.tests.crash.faults import acknowledged_on_disk, failing_flush, killed_at_flush, trace_of
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.builders import LOCKER, Body, registered
from lockstream.tests.support.histories import CAPACITY, history
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, needs_strace, traced, wait_until


def post(server: Server, body: Body) -> int:
    return server.post(json.dumps(body).encode())


def assert_only_reads_work(server: Server, bodies: list[Body]) -> None:
    """Assert that the server refuses each event of `bodies` with 503 and Retry-After, and still answers reads."""
    for body in bodies:
        status, headers, response = server.request("POST", "/events", json.dumps(body).encode())
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert str(server.log) in json.loads(response)["detail"]
        assert server.get(f"/lockers/{LOCKER}")[0] == 200


def assert_restart_recovers(server: Server, events: list[Body], acknowledged: list[Body]) -> None:
    """Start `server`; assert that it shows `acknowledged`, and accepts `events`, which contain these."""
    server.start()
    ids = [record["event_id"] for record in assert_shows_what_the_log_holds(server)]
    assert ids[: len(acknowledged)] == [body["event_id"] for body in acknowledged]
    assert {post(server, body) for body in events} <= {200, 202}
    assert len(assert_shows_what_the_log_holds(server)) == len(events)


def test_after_a_full_disk_a_server_accepts_nothing_until_a_restart(log_path: Path) -> None:
    events = history()
    with Server(log_path).start() as server:
        # given five acknowledged events
        assert [post(server, body) for body in events[:5]] == [202] * 5
        assert server.get(f"/lockers/{LOCKER}")[0] == 200
        # when the disk is full, and has space again
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log_path.stat().st_size + 10, unlimited[1]))
        assert_only_reads_work(server, events[5:7])
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        # then the server accepts nothing until a restart
        assert_only_reads_work(server, events[5:7])
        assert post(server, events[0]) == 503, "only a restart can tell whether the log holds a duplicate"
        assert server.stop(signal.SIGTERM) == 0
    with restarted(log_path) as server:
        assert_restart_recovers(server, events, acknowledged=events[:5])


@needs_strace
def test_after_a_failed_flush_a_server_accepts_nothing_until_a_restart_and_never_flushes_again(log_path: Path) -> None:
    events = history()
    with Server(log_path, under=failing_flush(log_path, 4)).start() as server:
        assert [post(server, body) for body in events[:3]] == [202] * 3
        assert_only_reads_work(server, [events[3], registered("c9"), events[3]])
        assert server.stop(signal.SIGTERM) == 0
    flushes = re.findall(r"f(?:data)?sync.* = (-?\d+)", trace_of(log_path).read_text())
    assert (flushes.count("-1"), flushes[-1]) == (1, "-1"), "the failed flush is the last one"
    with restarted(log_path) as server:
        assert_restart_recovers(server, events, acknowledged=events[:3])


@needs_strace
def test_a_start_after_a_failed_flush_is_refused_if_an_acknowledged_event_is_missing(log_path: Path) -> None:
    events = history()
    with Server(log_path, under=failing_flush(log_path, 4)).start() as server:
        # given a server whose flush failed before a checkpoint
        assert [post(server, body) for body in events[:4]] == [202, 202, 202, 503]
        # when it notes how many events it has acknowledged, and is killed
        wait_until(lambda: acknowledged_on_disk(log_path) == 3)
        server.kill()
    # then a log with fewer events refuses the start
    left = b"".join(log_path.read_bytes().splitlines(keepends=True)[:2])
    log_path.write_bytes(left)
    with pytest.raises(LogFileDamaged, match="has seen 3 acknowledged events"):
        EmbeddedStore(log_path, CAPACITY)
    assert log_path.read_bytes() == left


@needs_strace
def test_a_start_flushes_the_lines_of_a_killed_server_before_it_calls_their_events_known(log_path: Path) -> None:
    """A kill before the flush leaves lines in the file that may not be on disk. 200 promises the same as 202."""
    events, trace = history(), trace_of(log_path)
    # given a server that was killed between an append and its flush
    with Server(log_path, under=killed_at_flush(log_path, 2)).start() as server:
        assert post(server, events[0]) == 202
        with pytest.raises(ConnectionError):
            post(server, events[1])
        assert server.wait() == -signal.SIGKILL
    # when the event is sent to the next server, then it is known, and was flushed
    with Server(log_path, under=traced(trace, log_path, "-e", "trace=fdatasync,fsync")).start() as server:
        assert post(server, events[1]) == 200
        assert re.search(r"f(data)?sync.* = 0", trace.read_text()), "the log was never flushed"
