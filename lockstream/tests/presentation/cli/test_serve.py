"""`lockstream serve` before it serves. `tests/crash`, `tests/presentation/http` and `…/server` test the rest."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lockstream
from bench.postgres import free_port
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.processes import (
    SERVE,
    TIMEOUT_SECONDS,
    Server,
    command,
    environment,
    needs_proc,
    redirected,
    wait_until,
)


def warnings(server: Server) -> list[str]:
    """Return the text of each warning that the server has logged."""
    lines = [line for line in server.stderr.splitlines() if " WARNING " in line]
    return [line.partition(": ")[2] for line in lines]


def test_options_of_serve_win_over_the_environment(log_path: Path) -> None:
    # given contradictory settings
    other = log_path.with_name("other.jsonl")
    options = ["--log", str(other), "--port", "0", "--log-level", "INFO", "--max-event-bytes", "2048"]
    variables = {"LOCKSTREAM_PORT": "1", "LOCKSTREAM_LOG_LEVEL": "debug", "LOCKSTREAM_MAX_EVENT_BYTES": "1024"}
    # when
    with Server(log_path, program=[*SERVE, *options], **variables) as server:
        server.start()
        # then
        assert server.post(json.dumps(registered("c1", note="x" * 1500)).encode()) == 202
        assert server.post(json.dumps(registered("c2", note="x" * 2500)).encode()) == 413
        assert " DEBUG " not in server.stderr
    assert other.read_bytes().count(b"\n") == 1
    assert not log_path.exists()


def test_serve_warns_of_unknown_settings_and_ignores_them(log_path: Path) -> None:
    hints = {
        "LOCKSTREAM_EVENT_LOG_PATH": "Did you mean EVENT_LOG_PATH?",
        "LOCKSTREAM_MAX_EVENT_BYTE": "Did you mean LOCKSTREAM_MAX_EVENT_BYTES?",
        "LOCKSTREAM_PROT": "Did you mean LOCKSTREAM_PORT?",
        "LOCKSTREAM_Q": "`lockstream serve --help` lists all settings.",
    }
    known_in_lower_case = {"lockstream_stop_seconds": "1"}
    with Server(log_path, **dict.fromkeys(hints, "1"), **known_in_lower_case).start() as server:
        assert warnings(server) == [
            f"{variable} is not a setting of Lockstream, and is ignored. {hint}" for variable, hint in hints.items()
        ]


def test_serve_warns_of_renamed_settings_and_uses_them(log_path: Path) -> None:
    """The disk of no machine has as much free space as this test demands."""
    demanded = 10**18
    former = {"LOCKSTREAM_WORKING_SET_ROWS": "1000", "LOCKSTREAM_DISK_FLOOR_BYTES": str(demanded)}
    with Server(log_path, **former).start() as server:
        assert warnings(server)[:2] == [
            "LOCKSTREAM_DISK_FLOOR_BYTES is now called LOCKSTREAM_MIN_FREE_BYTES. Rename it; the old name still works.",
            "LOCKSTREAM_WORKING_SET_ROWS is now called LOCKSTREAM_ROW_CACHE_ROWS. Rename it; the old name still works.",
        ]
        status, _, body = server.request("POST", "/events", json.dumps(registered("c1")).encode())
        assert status == 503
        assert f"{demanded:,}" in body.decode()


@pytest.mark.parametrize(
    ("host", "reason"), [("nowhere.invalid", ".+"), ("192.0.2.1", re.escape(os.strerror(errno.EADDRNOTAVAIL)))]
)
def test_serve_names_an_address_that_it_cannot_listen_on_with_the_reason(
    log_path: Path, host: str, reason: str
) -> None:
    result = command(log_path, "serve", LOCKSTREAM_HOST=host, LOCKSTREAM_PORT="0", LOCKSTREAM_AUTH="off")
    assert result.returncode == 1
    assert "Traceback" not in (errors := result.stderr.decode())
    assert re.fullmatch(
        rf"lockstream: cannot listen on {host}:0: {reason}\. Set LOCKSTREAM_HOST and LOCKSTREAM_PORT to another "
        r"address\.",
        errors.splitlines()[-1],
    )


@needs_proc
def test_no_file_of_a_server_becomes_a_closed_standard_stream(log_path: Path) -> None:
    """A library that prints on such a stream would write into the log."""
    port = free_port()

    def answers() -> bool:
        try:
            return server.get("/health/ready")[0] == 200
        except ConnectionRefusedError:
            return False

    # given
    with Server(log_path, under=redirected("<&- >&- 2>&-"), LOCKSTREAM_PORT=str(port)) as server:
        server.launch()
        server.port = port
        # when
        wait_until(answers)
        # then
        streams = [str(Path(f"/proc/{server.pid}/fd/{number}").readlink()) for number in range(3)]
        assert streams == ["/dev/null"] * 3
        assert server.post(json.dumps(registered("c1")).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0


def test_run_py_is_lockstream_serve(log_path: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    script = Path(lockstream.__file__).parents[1] / "run.py"
    # then it serves
    with Server(log_path, program=[str(script)]) as server:
        server.start()
        assert server.get("/openapi.json")[0] == 200
    # and its options are the same
    helped = subprocess.run(
        [sys.executable, str(script), "--help"],
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    monkeypatch.setenv("COLUMNS", environment(log_path)["COLUMNS"])
    assert helped.stdout == run_command("serve", "--help").output
    assert b"--port" in helped.stdout
