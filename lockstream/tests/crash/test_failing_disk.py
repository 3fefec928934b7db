"""A server whose disk fails, for real: writes answer 503 from then on, reads go on, and a restart heals."""

import json
import re
import resource
import signal
from pathlib import Path

import pytest

from lockstream.tests.support.builders import LOCKER, Body, registered
from lockstream.tests.support.histories import history
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds
from lockstream.tests.support.processes import Server, needs_strace, traced


def post(server: Server, body: Body) -> int:
    return server.post(json.dumps(body).encode())


def assert_only_reads_go_on(server: Server, bodies: list[Body]) -> None:
    """Each of `bodies` is answered as the contract has it when the log cannot be written, and a read as ever."""
    for body in bodies:
        status, headers, answer = server.request("POST", "/events", json.dumps(body).encode())
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert str(server.log) in json.loads(answer)["detail"]
        assert server.get(f"/lockers/{LOCKER}")[0] == 200


def assert_a_restart_heals(server: Server, events: list[Body], acknowledged: list[Body]) -> None:
    server.start()
    ids = [record["event_id"] for record in assert_shows_what_the_log_holds(server)]
    assert ids[: len(acknowledged)] == [body["event_id"] for body in acknowledged]
    assert {post(server, body) for body in events} <= {200, 202}
    assert len(assert_shows_what_the_log_holds(server)) == len(events)


def test_a_full_disk_stops_writes_until_a_restart(log_path: Path) -> None:
    events = history()
    with Server(log_path).start() as server:
        assert [post(server, body) for body in events[:5]] == [202] * 5
        assert server.get(f"/lockers/{LOCKER}")[0] == 200
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log_path.stat().st_size + 10, unlimited[1]))
        assert_only_reads_go_on(server, events[5:7])
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        assert_only_reads_go_on(server, events[5:7])
        assert post(server, events[0]) == 503, "not even a duplicate: what the log holds is known after a restart only"
        assert server.stop(signal.SIGTERM) == 0
        assert_a_restart_heals(server, events, acknowledged=events[:5])


@needs_strace
def test_a_failed_flush_stops_writes_until_a_restart_and_is_never_tried_again(log_path: Path) -> None:
    events, trace = history(), log_path.with_name("trace.txt")
    failing = ("-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync:error=EIO:when=4")
    with Server(log_path, under=traced(trace, log_path, *failing)).start() as server:
        assert [post(server, body) for body in events[:3]] == [202] * 3
        assert_only_reads_go_on(server, [events[3], registered("c9"), events[3]])
        assert server.stop(signal.SIGTERM) == 0
    flushes = re.findall(r"f(?:data)?sync.* = (-?\d+)", trace.read_text())
    assert (flushes.count("-1"), flushes[-1]) == (1, "-1"), "the failed flush is the last one"
    with Server(log_path) as server:
        assert_a_restart_heals(server, events, acknowledged=events[:3])


@needs_strace
def test_what_a_killed_server_had_written_is_flushed_before_it_is_called_known(log_path: Path) -> None:
    """A line may be in the file and not on the disk: the kill came before the flush. 200 promises the same as 202."""
    events, trace = history(), log_path.with_name("trace.txt")
    killing = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=KILL:error=EIO:when=2")
    with Server(log_path, under=traced(trace, log_path, *killing)).start() as server:
        assert post(server, events[0]) == 202
        with pytest.raises(ConnectionError):
            post(server, events[1])
        assert server.wait() == -signal.SIGKILL
    with Server(log_path, under=traced(trace, log_path, "-e", "trace=fdatasync,fsync")).start() as server:
        assert post(server, events[1]) == 200
        assert re.search(r"f(data)?sync.* = 0", trace.read_text()), "the log was never flushed"
