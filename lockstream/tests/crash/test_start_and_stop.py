"""A server starts or says in a sentence why not, and stops when it is told to, with everything answered."""

import asyncio
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.tests.crash.clients import Clients, Heard
from lockstream.tests.support.histories import history, record
from lockstream.tests.support.log_audit import assert_shows_what_the_log_holds, audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment


async def stopped_under_load(server: Server, sent: signal.Signals) -> tuple[Heard, int]:
    """Let clients post, have the server stop in the middle; returns what they heard and the exit code."""
    clients = Clients(server, random.Random(7))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await asyncio.sleep(0.7)
        await clients.hear(lambda heard: len(heard.acknowledged) > 100)
        code = await asyncio.to_thread(server.stop, sent)
        clients.stop()
    return clients.heard, code


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_answers_what_it_took_in_and_exits_as_a_success(
    log_path: Path, sent: signal.Signals
) -> None:
    # however long it takes to answer what it took in: what it does when its time is up is looked at elsewhere
    with Server(log_path, LOCKSTREAM_STOP_SECONDS=str(TIMEOUT_SECONDS)).start() as server:
        heard, code = asyncio.run(stopped_under_load(server, sent))
        assert code == 0, server.stderr
        assert "Traceback" not in server.stderr
    assert heard.torn == []
    recorded = {entry["event_id"]: entry["position"] for entry in audited(log_path)}
    assert heard.acknowledged == recorded
    assert len(recorded) > 100
    with Server(log_path).start() as server:
        assert len(assert_shows_what_the_log_holds(server)) == len(recorded)


def test_a_connection_that_says_nothing_does_not_keep_a_server_from_stopping(log_path: Path) -> None:
    with (
        Server(log_path, LOCKSTREAM_STOP_SECONDS="1").start() as server,
        socket.create_connection(("127.0.0.1", server.port)) as idle,
        socket.create_connection(("127.0.0.1", server.port)) as half,
    ):
        half.sendall(b"POST /events HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n{")
        idle.sendall(b"GET /lockers/x HTTP/1.1\r\nhost: test\r\n\r\n")
        assert idle.recv(1)
        assert server.stop(signal.SIGTERM) == 0, server.stderr
    assert audited(log_path) == []


def test_a_signal_that_comes_while_the_server_is_being_set_up_is_not_lost(log_path: Path) -> None:
    """Between our catching up and uvicorn's own handlers: a process that ignores SIGTERM has to be killed."""
    early = "import os, signal, uvicorn; run = uvicorn.Server.run\n"
    early += "uvicorn.Server.run = lambda *args, **more: (os.kill(os.getpid(), signal.SIGTERM), run(*args, **more))\n"
    early += "from lockstream.presentation.cli.main import main; main(['serve'])"
    with subprocess.Popen(
        [sys.executable, "-c", early],
        cwd=log_path.parent,
        env=environment(log_path, LOCKSTREAM_PORT="0"),
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.wait(TIMEOUT_SECONDS) == 0
        finally:
            process.kill()


def test_a_log_is_free_again_as_soon_as_its_process_is_gone(log_path: Path) -> None:
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


@pytest.mark.parametrize("place", ["/sys/event_log.jsonl", "missing/event_log.jsonl", "."], ids=str)
def test_a_place_where_no_log_can_be_is_named(tmp_path: Path, place: str) -> None:
    ended = command(tmp_path / "any", "serve", EVENT_LOG_PATH=place, LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    assert_a_sentence(ended.stderr, place)


def test_a_directory_that_cannot_be_written_is_named(log_path: Path) -> None:
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
    assert_a_sentence(ended.stderr, str(closed))


def assert_a_sentence(stderr: bytes, *named: str) -> None:
    said = stderr.decode()
    assert said.startswith("lockstream: ")
    assert said.count("\n") == 1
    assert [name for name in named if name not in said] == []
