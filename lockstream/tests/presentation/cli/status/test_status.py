"""`lockstream status`: real servers and scripted ones, its exit codes, and the live view on a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lockstream.presentation.cli.status.answers import Problem
from lockstream.tests.presentation.cli.status.states import FULL_DISK, LAG, body, status, storage
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.processes import COVERAGE_VARIABLE, Server, environment, wait_until
from lockstream.tests.support.scripted_server import response, scripted_server


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_a_running_server_is_shown_once_as_text_and_as_json(log_path: Path, run_command: RunCommand) -> None:
    with Server(log_path).start() as server:
        assert server.post(json.dumps(registered()).encode()) == 202
        result = run_command("status", url(server.port), "--once")
        assert (result.exit_code, result.errors) == (0, "")
        shown = result.output.decode()
        assert shown.startswith("All is well.\n")
        assert f"log {log_path}" in shown
        result = run_command("status", url(server.port), "--json")
        assert result.exit_code == 0
        assert json.loads(result.output)["storage"]["head"] == 1


def test_a_disk_that_is_full_is_told_with_its_remedy_and_its_page(log_path: Path, run_command: RunCommand) -> None:
    with Server(log_path, LOCKSTREAM_MIN_FREE_BYTES=str(1 << 60)).start() as server:
        result = run_command("status", url(server.port))  # no terminal, so once
    assert result.exit_code == 3
    shown = result.output.decode()
    assert shown.startswith("Events are refused.\n")
    assert "Free some space; no restart is needed.\n  docs/operations.md#a-full-disk\n" in shown


@pytest.mark.parametrize(("problems", "code"), [([], 0), ([LAG], 0), ([FULL_DISK, LAG], 3)])
@pytest.mark.parametrize("option", ["--once", "--json"])
def test_the_exit_code_tells_whether_events_are_refused(
    run_command: RunCommand, option: str, problems: list[Problem], code: int
) -> None:
    with scripted_server(lambda _, __: response(200, body(status(*problems)))) as port:
        assert run_command("status", url(port), option).exit_code == code


def test_an_unreachable_server_is_an_error(run_command: RunCommand) -> None:
    run_command("status", url(1), "--once").assert_is_error("cannot be reached (Connection refused)")


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff", b'{"version":1}'])
@pytest.mark.parametrize("code", [200, 404, 503])
def test_a_server_that_is_not_lockstream_is_named(run_command: RunCommand, code: int, content: bytes) -> None:
    with scripted_server(lambda _, __: response(code, content)) as port:
        result = run_command("status", url(port), "--once")
    result.assert_is_error(f"answered {code}", "Check that the URL is that of a Lockstream server")


def test_a_server_that_starts_is_quoted(run_command: RunCommand) -> None:
    with scripted_server(lambda _, __: response(503, b'{"detail":"Starting: 5 of 9."}')) as port:
        run_command("status", url(port), "--once").assert_is_error("answered 503: Starting: 5 of 9.")


def test_a_server_that_hangs_up_is_an_error(run_command: RunCommand) -> None:
    with scripted_server(lambda _, __: b"") as port:
        run_command("status", url(port), "--once").assert_is_error("cannot be reached")


@pytest.mark.parametrize("wrong", ["127.0.0.1:8000", "ftp://host", ""])
def test_a_url_of_another_form_is_an_error(run_command: RunCommand, wrong: str) -> None:
    run_command("status", wrong, "--once").assert_is_error(f"{wrong!r} is not the URL of a server.")


def test_a_refused_key_is_told_with_the_variable_that_holds_it(run_command: RunCommand) -> None:
    with scripted_server(lambda _, __: response(401, b'{"detail":"No key."}')) as port:
        run_command("status", url(port), "--once").assert_is_error("No key.", "LOCKSTREAM_API_KEY")


@contextmanager
def on_a_terminal(log: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a command on a terminal of its own. Give the process, and a file descriptor that reads its output."""
    master, terminal = pty.openpty()
    variables = environment(log, TERM="xterm", LINES="50")
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstream", *arguments],
        cwd=log.parent,
        env={name: value for name, value in variables.items() if name != COVERAGE_VARIABLE},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    os.set_blocking(master, False)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_the_live_view_goes_on_over_a_restart_and_ends_with_ctrl_c(log_path: Path) -> None:
    # given a server that tells one event more each time, and does not answer the second request
    def respond(number: int, _: bytes) -> bytes:
        shown = status(LAG) if number == 0 else status(storage=storage(head=81_204 + number))
        return b"" if number == 1 else response(200, body(shown))

    with scripted_server(respond) as port, on_a_terminal(log_path, "status", url(port)) as (process, master):
        seen = bytearray()

        def shows(text: bytes) -> bool:
            with suppress(BlockingIOError, OSError):
                seen.extend(os.read(master, 1 << 16))
            assert process.poll() is None, seen.decode()
            return text in seen

        # then it shows the problem, the failure with the last state, and the figures again with a rate
        wait_until(lambda: shows(b"1 problem to look at"))
        wait_until(lambda: shows(b"cannot be reached"))
        wait_until(lambda: shows(b"All is well."))
        wait_until(lambda: shows(b"events/s"))
        # and Ctrl-C ends it
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
