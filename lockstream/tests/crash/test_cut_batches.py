"""A batch that is cut off in its middle by a kill, a failing disk or its client: sent again, each event counts once."""

import json
import resource
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from lockstream.tests.crash.clients import LINES, LIST, Way
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import Server, command, needs_strace, traced

TOGETHER = 100
"""Events that are flushed together at most."""

EVENTS = 20 * TOGETHER
"""So many that they are flushed three times at least."""

each_way = pytest.mark.parametrize("way", [LIST, LINES], ids=["list", "lines"])


def batch() -> list[Body]:
    return [registered(str(number)) for number in range(EVENTS)]


def posted(server: Server, way: Way, events: list[Body]) -> tuple[int, dict[str, str], Any]:
    status, headers, answer = server.request("POST", way.path, way.write(*events), {"content-type": way.media_type})
    return status, headers, json.loads(answer)


def assert_sent_again_each_counts_once(server: Server, way: Way, events: list[Body]) -> int:
    """Start `server` again; returns how many events of the batch were known."""
    server.start()
    known = [record["event_id"] for record in audited(server.log)]
    assert known == [event["event_id"] for event in events[: len(known)]]
    status, _, outcomes = posted(server, way, events)
    assert status == 200
    assert [outcome["status"] for outcome in outcomes] == [200] * len(known) + [202] * (len(events) - len(known))
    assert [outcome["position"] for outcome in outcomes] == list(range(1, len(events) + 1))
    assert len(assert_shows_what_the_log_holds(server)) == len(events)
    return len(known)


@needs_strace
@each_way
def test_killed_between_two_parts(log_path: Path, way: Way) -> None:
    events, trace = batch(), log_path.with_name("trace.txt")
    killing = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=KILL:error=EIO:when=3")
    with Server(
        log_path, under=traced(trace, log_path, *killing), LOCKSTREAM_BATCH_LIMIT=str(TOGETHER)
    ).start() as server:
        with pytest.raises(ConnectionError):
            posted(server, way, events)
        assert server.wait() == -signal.SIGKILL
    with Server(log_path) as server:
        assert 0 < assert_sent_again_each_counts_once(server, way, events) < EVENTS
        assert server.stop(signal.SIGTERM) == 0
    assert command(log_path, "verify").returncode == 0


@needs_strace
@pytest.mark.parametrize("failing", [2, 3])
@each_way
def test_a_flush_that_fails_fails_the_batch(log_path: Path, way: Way, failing: int) -> None:
    events, trace = batch(), log_path.with_name("trace.txt")
    injected = ("-e", "trace=fdatasync,fsync", "-e", f"inject=fdatasync:error=EIO:when={failing}")
    with Server(
        log_path, under=traced(trace, log_path, *injected), LOCKSTREAM_BATCH_LIMIT=str(TOGETHER)
    ).start() as server:
        status, headers, problem = posted(server, way, events)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)
        assert str(log_path) in problem["detail"]
        assert posted(server, way, events)[0] == 503
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr, "each part that was under way has been waited for"
        assert "never retrieved" not in server.stderr
    with Server(log_path) as server:
        assert_sent_again_each_counts_once(server, way, events)


@needs_strace
@each_way
def test_a_flush_that_fails_fails_a_batch_that_waits_for_no_other(log_path: Path, way: Way) -> None:
    events, trace = batch()[: TOGETHER // 2], log_path.with_name("trace.txt")
    injected = ("-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync:error=EIO:when=3")
    with Server(log_path, under=traced(trace, log_path, *injected)).start() as server:
        assert [posted(server, way, events[:1])[0], posted(server, way, events[1:2])[0]] == [200, 200]
        assert posted(server, way, events)[0] == 503
        assert server.stop(signal.SIGTERM) == 0
    with Server(log_path) as server:
        assert assert_sent_again_each_counts_once(server, way, events) >= 2


@each_way
def test_a_disk_that_is_full_in_the_middle_of_a_batch_stops_writes_until_a_restart(log_path: Path, way: Way) -> None:
    events = batch()
    with Server(log_path, LOCKSTREAM_BATCH_LIMIT=str(TOGETHER)).start() as server:
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (len(way.write(*events)) // 2, unlimited[1]))
        assert posted(server, way, events)[0] == 503
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        status, headers, problem = posted(server, way, events)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)
        assert str(log_path) in problem["detail"]
        assert server.stop(signal.SIGTERM) == 0
    with Server(log_path) as server:
        assert 0 < assert_sent_again_each_counts_once(server, way, events) < EVENTS


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@each_way
def test_a_client_that_hangs_up_in_the_middle_of_a_batch_is_no_fault_of_ours(
    log_path: Path, way: Way, reset: bool
) -> None:
    events = batch()
    body = way.write(*events)
    with Server(log_path).start() as server:
        for share in (0.0, 0.3, 0.9, 1.0):
            with half_sent(server, way, body, share) as client:
                time.sleep(0.05)  # so that the server has begun to wait for the rest
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert posted(server, way, [registered("later", locker="other")])[0] == 200
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        assert "ERROR" not in server.stderr
        assert "Traceback" not in server.stderr
    order = {event["event_id"]: number for number, event in enumerate(events)}
    taken = [order[record["event_id"]] for record in audited(log_path) if record["event_id"] in order]
    assert taken == list(range(len(taken)))


def half_sent(server: Server, way: Way, body: bytes, share: float) -> socket.socket:
    """A client that has sent no more than this share of a batch."""
    client = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {way.path} HTTP/1.1\r\nhost: test\r\ncontent-type: {way.media_type}\r\n"
    client.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body[: int(share * (len(body) - 1))])
    return client


@each_way
def test_a_batch_that_never_comes_to_its_end_does_not_keep_a_server_from_stopping(log_path: Path, way: Way) -> None:
    events = batch()
    with Server(log_path, LOCKSTREAM_STOP_SECONDS="1").start() as server:
        with half_sent(server, way, way.write(*events), 0.5) as half:
            time.sleep(0.2)
            assert server.stop(signal.SIGTERM) == 0, server.stderr
            answer = half.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
        assert "Traceback" not in server.stderr, server.stderr
        assert_sent_again_each_counts_once(server, way, events)
