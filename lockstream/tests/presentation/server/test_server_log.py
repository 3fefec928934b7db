"""The server log: text and JSON lines of real servers, with failures, restarts and hostile requests."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import new_key_text
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.server.server_log import JsonLines, TextLines
from lockstream.tests.support.builders import as_array, as_lines, registered, reserved
from lockstream.tests.support.keys import bearer, created, request
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment, wait_until

FORMATS = pytest.mark.parametrize("log_format", ["text", "json"])

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: .+")

MARKER = "payload-marker-7f3a"
"""Occurs in bodies and queries alone."""

FAILING = (
    "-c",
    "from lockstream.presentation.cli.main import main\n"
    "from lockstream.services.running.lockstream import Lockstream\n"
    "async def fail(*_, **__): raise RuntimeError('one line\\nand \"another\"')\n"
    "Lockstream.list = fail\n"
    "main()",
    "serve",
)
"""A server with an internal error in all lists."""


def lines_of(stderr: str) -> list[dict[str, Any]]:
    """Return the lines of a server log in JSON, after checking the members that all have."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    for line in lines:
        assert list(line)[:5] == ["time", "level", "logger", "event_name", "message"]
        assert TIME.fullmatch(line["time"])
        assert line["level"] in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    return lines


@contextmanager
def logging_to(formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, StringIO]]:
    """Give a logger, and the text that it writes in a format."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logger = logging.Logger("test")  # noqa: LOG001  # apart from all others
    logger.addHandler(handler)
    yield logger, written


@FORMATS
def test_the_log_of_a_busy_server_has_neither_keys_nor_payloads(log_path: Path, log_format: str) -> None:
    # given a server that logs all that it can
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(*Scope)).text
    foreign = new_key_text().text
    settings = {"LOCKSTREAM_LOG_FORMAT": log_format, "LOCKSTREAM_LOG_LEVEL": "debug", "LOCKSTREAM_ACCESS_LOG": "on"}
    with Server(log_path, **settings).listen() as server:
        # when requests of every kind are sent
        body = registered(note=MARKER)
        event = json.dumps(body).encode()
        items = as_array(registered("c2", note=MARKER), f'{{"{MARKER}": 1}}'.encode())
        for given in (bearer(key), bearer(foreign), {"Authorization": f"Basic {key}"}, {"X-Request-ID": key}, {}):
            for headers in ({**given}, {**given, "traceparent": MARKER, "X-Request-ID": f"{MARKER} and more", **given}):
                sent = [
                    server.request("POST", "/events", event, headers)[0],
                    server.request("POST", "/events", json.dumps(reserved(note=MARKER)).encode(), headers)[0],
                    server.request("POST", "/events", f'{{"{MARKER}":'.encode(), headers)[0],
                    server.request("POST", "/events/batch", items, {**headers, "Content-Type": "application/json"})[0],
                    server.request(
                        "POST", "/events/batch", as_lines(body), {**headers, "Content-Type": "application/x-ndjson"}
                    )[0],
                    server.request("GET", f"/lockers?q={MARKER}&key={key}", None, headers)[0],
                    server.request("GET", f"/lockers/{key}", None, headers)[0],
                    server.request("GET", f"/{foreign}?{key}", None, headers)[0],
                    server.request("GET", "/events?after=0", None, headers)[0],
                    server.request("HEAD", "/quarantine", None, headers)[0],
                    server.request("GET", "/keys", None, headers)[0],
                ]
                assert set(sent) <= {200, 202, 401, 404, 409, 422, 429}
        assert server.stop(signal.SIGTERM) == 0
        log = server.stderr
    # then the requests are in the log
    assert log.count("POST /events") > 20
    assert key[4:12] in log  # the public part of the key
    # but no secret part of a key, and no part of a body or a query
    for text in (key, foreign):
        assert text not in log
        assert text[13:56] not in log
    assert MARKER not in log
    # and each line has its form
    if log_format == "json":
        assert {line["key_id"] for line in lines_of(log) if line["event_name"] == "request"} == {None, key[4:12]}
    else:
        assert [line for line in log.splitlines() if not TEXT_LINE.fullmatch(line)] == []


def test_a_request_that_fails_is_one_line_with_its_id_and_traceback(log_path: Path) -> None:
    with Server(log_path, program=FAILING, LOCKSTREAM_LOG_FORMAT="json").listen() as server:
        # when a client names its request, and another one does not
        named = server.request("GET", "/lockers", None, {"X-Request-ID": "mine"})
        unnamed = server.request("GET", "/network")
        assert server.stop(signal.SIGTERM) == 0
        failures = [line for line in lines_of(server.stderr) if line["event_name"] == "request_failed"]
    # then each response has the id under which the log has the traceback
    assert (named[0], unnamed[0]) == (500, 500)
    assert named[1]["x-request-id"] == "mine"
    assert [failure["request_id"] for failure in failures] == ["mine", unnamed[1]["x-request-id"]]
    for failure in failures:
        assert failure["traceback"].startswith("Traceback (most recent call last):\n")
        assert failure["traceback"].endswith('RuntimeError: one line\nand "another"')


def test_a_restart_after_a_kill_says_in_json_what_it_has_found(log_path: Path) -> None:
    with Server(log_path, LOCKSTREAM_LOG_FORMAT="json").start() as server:
        assert server.post(json.dumps(registered()).encode()) == 202
        server.kill()
        lines_of(server.stderr)
        with log_path.open("ab") as log:
            log.write(b'{"position":2,')
        server.start()
        assert server.stop(signal.SIGTERM) == 0
        [truncated] = [line for line in lines_of(server.stderr) if line["event_name"] == "tail_truncated"]
    assert (truncated["level"], truncated["position"]) == ("WARNING", 1)


def is_listening(path: Path) -> bool:
    """Return whether a server accepts connections on a Unix socket, whose file is there a little earlier."""
    with closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(str(path)) == 0


@pytest.mark.parametrize(("level", "levels"), [("info", {"INFO", "WARNING"}), ("error", set())])
def test_the_level_bounds_what_is_logged_apart_from_requests(log_path: Path, level: str, levels: set[str]) -> None:
    # given a server that logs a warning at its start
    settings = {"LOCKSTREAM_LOG_LEVEL": level, "LOCKSTREAM_ACCESS_LOG": "on", "LOCKSTREAM_PROT": "1"}
    port = {"LOCKSTREAM_UNIX_SOCKET": "a.sock"}  # the address is logged at the level info
    with Server(log_path, LOCKSTREAM_LOG_FORMAT="json", **settings, **port) as server:
        server.launch()
        transport = httpx.HTTPTransport(uds=str(log_path.with_name("a.sock")))
        with httpx.Client(transport=transport, base_url="http://lockstream") as client:
            wait_until(lambda: is_listening(log_path.with_name("a.sock")))
            assert client.get("/network").status_code == 200
        assert server.stop(signal.SIGTERM) == 0
        lines = lines_of(server.stderr)
    requests = [line for line in lines if line["event_name"] == "request"]
    assert [(line["path"], line["address"]) for line in requests] == [("/network", "")]
    assert {line["level"] for line in lines if line not in requests} == levels


def test_a_start_that_is_refused_says_so_in_json(log_path: Path) -> None:
    with Server(log_path).start():
        ended = command(log_path, "serve", LOCKSTREAM_LOG_FORMAT="json", LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    refused = lines_of(ended.stderr.decode())[-1]
    assert (refused["level"], refused["event_name"]) == ("CRITICAL", "start_failed")
    assert str(log_path) in refused["message"]


def test_an_address_in_use_is_a_line_of_json(log_path: Path, tmp_path: Path) -> None:
    with Server(log_path).start() as server:
        other = tmp_path / "other" / "event_log.jsonl"
        other.parent.mkdir()
        ended = command(other, "serve", LOCKSTREAM_LOG_FORMAT="json", LOCKSTREAM_PORT=str(server.port))
    assert ended.returncode == 1
    refused = lines_of(ended.stderr.decode())[-1]
    assert refused["event_name"] == "start_failed"
    assert refused["message"].startswith(f"cannot listen on 127.0.0.1:{server.port}: Address already in use.")


@FORMATS
def test_a_message_cannot_add_a_line_or_a_key(log_format: str) -> None:
    key = new_key_text().text
    formatter = JsonLines() if log_format == "json" else TextLines()
    with logging_to(formatter) as (logger, written):
        logger.warning(
            "GET /%s", f"a\n2026-01-01 00:00:00 INFO x: forged\x1b[2J\u2028\udcff {key}", extra={"other": key}
        )
    [line] = written.getvalue().splitlines()
    assert "\x1b" not in line
    assert key not in written.getvalue()
    assert key[:12] in line
    assert log_format == "text" or "forged" in json.loads(line)["message"]


def test_extra_fields_are_members_and_those_of_libraries_are_not() -> None:
    with logging_to(JsonLines()) as (logger, written):
        logger.info("x", extra={"event_name": "named", "position": 7, "color_message": "\x1b[1mx"}, stack_info=True)
    line = json.loads(written.getvalue())
    assert (line["event_name"], line["position"]) == ("named", 7)
    assert set(line) == {"time", "level", "logger", "event_name", "message", "position", "stack_info"}


@FORMATS
def test_uncaught_exceptions_and_warnings_are_logged(log_path: Path, log_format: str) -> None:
    program = (
        "import threading, warnings\n"
        "from lockstream.presentation.server.server_log import configure_server_log\n"
        f"configure_server_log('info', '{log_format}')\n"
        "warnings.warn('careful')\n"
        "def fail(): raise RuntimeError('in a thread')\n"
        "thread = threading.Thread(target=fail, name='worker'); thread.start(); thread.join()\n"
        "raise RuntimeError('at the end')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    log = ended.stderr.decode()
    assert re.search("careful.*in a thread.*at the end", log, re.DOTALL)
    if log_format == "json":
        assert [line["event_name"] for line in lines_of(log)] == [None, "uncaught_exception", "uncaught_exception"]
        assert "worker" in lines_of(log)[1]["message"]
    else:
        assert log.count("uncaught") == 0
        assert log.count(" CRITICAL lockstream.presentation.server.server_log: An exception was not caught") == 2
