"""A batch that a kill, a failing disk or its client interrupts: sent again, each of its events counts once."""

import json
import resource
import signal
import socket
import struct
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lockstream.core.ports import ignore_progress
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.clients import ARRAY, LINES, Format
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.crash.faults import failing_flush, killed_at_flush
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import Server, needs_strace

BATCH_LIMIT = 100
"""Most events that share a flush."""

EVENTS = 20 * BATCH_LIMIT
"""Events in a batch: enough for at least three flushes."""


def in_formats(*default: Format) -> pytest.MarkDecorator:
    """Run a test with `default`, or with both formats of a batch if every case runs."""
    forms = (ARRAY, LINES) if FULL else default
    return pytest.mark.parametrize("form", forms, ids=[form.name for form in forms])


def batch(locker: str = "locker-1") -> list[Body]:
    return [registered(str(number), locker=locker) for number in range(EVENTS)]


def posted(server: Server, form: Format, events: list[Body]) -> tuple[int, dict[str, str], Any]:
    status, headers, body = server.request("POST", form.path, form.encode(*events), {"content-type": form.media_type})
    return status, headers, json.loads(body)


def assert_counts_once_if_sent_again(server: Server, form: Format, events: list[Body]) -> int:
    """Start `server`, and send the batch again; return how many of its events were known."""
    server.start()
    known = [record["event_id"] for record in audited(server.log)]
    assert known == [event["event_id"] for event in events[: len(known)]]
    status, _, outcomes = posted(server, form, events)
    assert status == 200
    assert [outcome["status"] for outcome in outcomes] == [200] * len(known) + [202] * (len(events) - len(known))
    assert [outcome["position"] for outcome in outcomes] == list(range(1, len(events) + 1))
    assert len(assert_shows_what_the_log_holds(server)) == len(events)
    return len(known)


@needs_strace
@in_formats(LINES)
def test_a_batch_survives_a_kill_between_two_of_its_flushes(log_path: Path, form: Format) -> None:
    # given a server that is killed at the second flush of a batch
    events, under = batch(), killed_at_flush(log_path, 3)
    with Server(log_path, under=under, LOCKSTREAM_BATCH_LIMIT=str(BATCH_LIMIT)).start() as server:
        with pytest.raises(ConnectionError):
            posted(server, form, events)
        assert server.wait() == -signal.SIGKILL
    # when the batch is sent to the next server, then the log already holds a part of it
    with restarted(log_path) as server:
        assert 0 < assert_counts_once_if_sent_again(server, form, events) < EVENTS
        assert server.stop(signal.SIGTERM) == 0
    assert verify_file(log_path, ignore_progress).problems == []


@needs_strace
@pytest.mark.parametrize(
    ("form", "failing"),
    [*product((ARRAY, LINES), (2, 3))] if FULL else [(ARRAY, 2), (LINES, 3)],
    ids=lambda value: value.name if isinstance(value, Format) else str(value),
)
def test_a_failed_flush_fails_its_batch(log_path: Path, form: Format, failing: int) -> None:
    events, under = batch(), failing_flush(log_path, failing)
    # given a server whose flush fails
    with Server(log_path, under=under, LOCKSTREAM_BATCH_LIMIT=str(BATCH_LIMIT)).start() as server:
        # when a batch is sent, then it gets 503, and so does the next
        status, headers, body = posted(server, form, events)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)
        assert str(log_path) in body["detail"]
        assert posted(server, form, events)[0] == 503
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr
        assert "never retrieved" not in server.stderr, "the server waits for every part of a batch"
    # then a restart finds out which events the log holds
    with restarted(log_path) as server:
        assert_counts_once_if_sent_again(server, form, events)


@needs_strace
@in_formats(ARRAY)
def test_a_failed_flush_fails_a_batch_of_one_flush(log_path: Path, form: Format) -> None:
    events = batch()[: BATCH_LIMIT // 2]
    with Server(log_path, under=failing_flush(log_path, 3)).start() as server:
        assert [posted(server, form, events[:1])[0], posted(server, form, events[1:2])[0]] == [200, 200]
        assert posted(server, form, events)[0] == 503
        assert server.stop(signal.SIGTERM) == 0
    with restarted(log_path) as server:
        assert assert_counts_once_if_sent_again(server, form, events) >= 2


@in_formats(LINES)
def test_a_disk_that_fills_up_within_a_batch_stops_writes_until_a_restart(log_path: Path, form: Format) -> None:
    events = batch()
    with Server(log_path, LOCKSTREAM_BATCH_LIMIT=str(BATCH_LIMIT)).start() as server:
        # given a batch for which the disk has not enough space
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (len(form.encode(*events)) // 2, unlimited[1]))
        assert posted(server, form, events)[0] == 503
        # when the disk has space again, then the server still accepts nothing
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        status, headers, body = posted(server, form, events)
        assert (status, int(headers["retry-after"]) >= 1) == (503, True)
        assert str(log_path) in body["detail"]
        assert server.stop(signal.SIGTERM) == 0
    # when it is restarted, then the log holds a part of the batch
    with restarted(log_path) as server:
        assert 0 < assert_counts_once_if_sent_again(server, form, events) < EVENTS


def half_sent(server: Server, form: Format, body: bytes, share: float) -> socket.socket:
    """Return a client that has sent this share of a batch, but never the last byte. The server has read that part."""
    client = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {form.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {form.media_type}\r\n"
    client.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body[: int(share * (len(body) - 1))])
    assert server.get("/health/live")[0] == 200  # the event loop reads connections in the order of their data
    return client


def test_a_client_that_disconnects_within_a_batch_disturbs_nobody(log_path: Path) -> None:
    order: dict[str, tuple[str, int]] = {}
    with Server(log_path).start() as server:
        for form, reset in product((ARRAY, LINES), (False, True)):
            # given a batch of which a part has been sent
            events = batch(locker := f"{form.name}-{reset}")
            order |= {event["event_id"]: (locker, number) for number, event in enumerate(events)}
            for share in (0.0, 0.3, 0.9, 1.0):
                with half_sent(server, form, form.encode(*events), share) as client:
                    # when the client closes or resets the connection
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # then other clients are served
            assert posted(server, form, [registered("later", locker=f"after-{locker}")])[0] == 200
        assert server.stop(signal.SIGTERM) == 0, server.stderr
        # then the server has logged no error
        assert "ERROR" not in server.stderr
        assert "Traceback" not in server.stderr
    # then the log holds a beginning of each batch, if any of it
    recorded = [order[record["event_id"]] for record in audited(log_path) if record["event_id"] in order]
    for locker, _ in recorded:
        numbers = [number for name, number in recorded if name == locker]
        assert numbers == list(range(len(numbers)))


@in_formats(ARRAY)
def test_a_batch_that_never_ends_does_not_keep_a_server_from_stopping(log_path: Path, form: Format) -> None:
    events = batch()
    with Server(log_path, LOCKSTREAM_STOP_SECONDS="1").start() as server:
        with half_sent(server, form, form.encode(*events), 0.5) as client:
            assert server.stop(signal.SIGTERM) == 0, server.stderr
            response = client.recv(1000)
        assert response == b"" or response.startswith(b"HTTP/1.1 503 ")
        assert "Traceback" not in server.stderr, server.stderr
    with restarted(log_path) as server:
        assert_counts_once_if_sent_again(server, form, events)
