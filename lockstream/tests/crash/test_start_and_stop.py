"""A server starts, or says in one sentence why it cannot. When it is told to stop, it first finishes open requests."""

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import CLIENTS, Clients, Received
from lockstream.tests.crash.restart import restarted
from lockstream.tests.support.histories import history, record
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment


async def received_from_stopped_server(server: Server, sent: signal.Signals) -> tuple[Received, int]:
    """Stop the server under load; return what the clients received, and its exit code."""
    clients = Clients(server, random.Random(7))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await clients.wait_until(lambda received: received.acknowledgements > 5 * CLIENTS)
        code = await asyncio.to_thread(server.stop, sent)
        clients.stop()
    return clients.received, code


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_finishes_open_requests_and_exits_with_success(
    log_path: Path, sent: signal.Signals
) -> None:
    # given a server under load, which has all the time that it needs to stop
    with Server(log_path, LOCKSTREAM_STOP_SECONDS=str(TIMEOUT_SECONDS)).start() as server:
        # when it is stopped
        received, code = asyncio.run(received_from_stopped_server(server, sent))
        assert code == 0, server.stderr
        assert "Traceback" not in server.stderr
    # then each response is complete, and the log holds exactly the acknowledged events
    assert received.torn == []
    recorded = {entry["event_id"]: entry["position"] for entry in audited(log_path)}
    assert received.acknowledged == recorded
    assert len(recorded) > 100
    with restarted(log_path).start() as server:
        assert len(assert_shows_what_the_log_holds(server)) == len(recorded)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_readers_of_the_feed_that_wait_are_answered_when_the_server_is_stopped(
    log_path: Path, sent: signal.Signals
) -> None:
    # given readers that wait for an event, and a server that waits long for open requests
    with Server(log_path, LOCKSTREAM_STOP_SECONDS=str(TIMEOUT_SECONDS)).start() as server, ExitStack() as open_readers:
        readers = []
        for _ in range(4):
            connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
            open_readers.callback(connection.close)
            connection.request("GET", "/events?after=0&wait=30")
            readers.append(connection)
        assert server.get("/network")[0] == 200  # so the requests before have arrived
        # when the server is stopped, then each reader gets its page, and the server ends
        assert server.stop(sent) == 0, server.stderr
        pages = [json.load(reader.getresponse()) for reader in readers]
        assert [(page["items"], page["through"]) for page in pages] == [([], 0)] * len(readers)
        assert "Traceback" not in server.stderr


def test_a_signal_that_arrives_before_uvicorn_handles_signals_is_not_lost(log_path: Path) -> None:
    """A process that ignores SIGTERM would have to be killed."""
    program = "import os, signal, uvicorn; run = uvicorn.Server.run\n"
    program += "uvicorn.Server.run = lambda *args, **more: (os.kill(os.getpid(), signal.SIGTERM), run(*args, **more))\n"
    program += "from lockstream.presentation.cli.main import main; main(['serve'])"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=log_path.parent,
        env=environment(log_path, LOCKSTREAM_PORT="0"),
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.wait(TIMEOUT_SECONDS) == 0
        finally:
            process.kill()


def test_the_lock_of_a_log_ends_with_its_process(log_path: Path) -> None:
    with Server(log_path).start() as server:
        server.kill()
    record(log_path, history())


def test_a_port_in_use_is_named(log_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = command(log_path, "serve", LOCKSTREAM_PORT=port)
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert b"LOCKSTREAM_PORT" in ended.stderr
    assert b"address already in use" in ended.stderr
    assert port.encode() in ended.stderr


@pytest.mark.parametrize("path", ["/sys/event_log.jsonl", "missing/event_log.jsonl", "."], ids=str)
def test_a_path_that_cannot_be_a_log_is_named(tmp_path: Path, path: str) -> None:
    ended = command(tmp_path / "any", "serve", EVENT_LOG_PATH=path, LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    assert_is_one_sentence(ended.stderr, path)


def test_a_directory_that_is_not_writable_is_named(log_path: Path) -> None:
    closed = log_path.with_name("closed")
    closed.mkdir(mode=0o500)
    try:
        (closed / "probe").touch()
    except OSError:
        pass
    else:
        pytest.skip("this user may write everywhere")
    ended = command(closed / "any", "serve", EVENT_LOG_PATH=str(closed / "log"), LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    assert_is_one_sentence(ended.stderr, str(closed))


def assert_is_one_sentence(stderr: bytes, *named: str) -> None:
    text = stderr.decode()
    assert text.startswith("lockstream: ")
    assert text.count("\n") == 1
    assert [name for name in named if name not in text] == []
