"""`lockstream follow`: the feed of a real server, over its restarts."""

import json
import re
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.postgres import free_port
from lockstream.presentation.cli.follow import Follower
from lockstream.tests.presentation.cli.running_command import running
from lockstream.tests.support.builders import Body, registered, reserved
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.processes import Server, wait_until
from lockstream.tests.support.scripted_server import response, scripted_server


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    with Server(log_path, LOCKSTREAM_PORT=str(free_port())) as server:  # it keeps its port after a restart
        yield server.start()


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def post(server: Server, *bodies: Body) -> None:
    for body in bodies:
        assert server.post(json.dumps(body).encode()) == 202


def test_each_event_is_printed_once_as_its_line_of_the_log_over_restarts(server: Server, log_path: Path) -> None:
    # given a server with events
    post(server, registered("a"), registered("b"))
    with running(log_path, "follow", url(server.port), "--after", "0") as command:
        for failures, sent in enumerate([signal.SIGKILL, signal.SIGTERM], 1):
            # when an event is accepted while the command waits, then it is printed
            post(server, registered(f"before-{sent}"))
            wait_until(lambda: command.output == log_path.read_bytes())
            # when the server is stopped and started again, then the command goes on where it was
            server.stop(sent)
            command.wait_for(rf"(?s)(cannot be reached.*?){{{failures}}}")
            server.start()
            post(server, registered(f"after-{sent}"))
            wait_until(lambda: command.output == log_path.read_bytes())
        # and Ctrl-C ends it, and names the place to go on
        assert command.is_running()
        assert command.stop(signal.SIGINT) == 0
        assert "repeat the command with `--after 6`" in command.errors
        assert "Traceback" not in command.errors


def test_events_are_filtered_and_begin_at_the_head_by_default(server: Server, log_path: Path) -> None:
    post(server, registered("a", locker="other"), reserved("before", "a", locker="other"))
    arguments = "follow", url(server.port), "--type", "ReservationCreated", "--locker", "other"
    with running(log_path, *arguments) as command:
        # given events of every kind while the command starts, which takes an unknown time
        for number in count():
            post(server, registered(f"c{number}", locker="other"), registered(f"c{number}", locker="another"))
            post(server, reserved(f"r{number}", f"c{number}", locker="other"))
            post(server, reserved(f"a{number}", f"c{number}", locker="another"))
            if command.output:
                break
        # then the command prints only the events that it was asked for, and none from before its start
        printed = [json.loads(line) for line in command.output.splitlines()]
        assert {(one["type"], one["locker_id"]) for one in printed} == {("ReservationCreated", "other")}
        assert "before" not in [one["payload"]["reservation_id"] for one in printed]


def test_a_server_that_was_never_reached_ends_the_command(run_command: RunCommand) -> None:
    result = run_command("follow", url(1))
    assert result.exit_code == 1
    assert result.errors == (
        "lockstream: http://127.0.0.1:1 cannot be reached (Connection refused). Start a server there, or name another "
        "one.\n"
    )


@pytest.mark.parametrize("wrong", ["127.0.0.1:8000", "ftp://host", "http://host?x=1", ""])
def test_a_url_of_another_form_ends_the_command(run_command: RunCommand, wrong: str) -> None:
    result = run_command("follow", wrong)
    assert result.exit_code == 1
    assert f"{wrong!r} is not the URL of a server." in result.errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--after", "-1"], "--after is '-1'"),
        (["--after", "now"], "--after is 'now'"),
        (["--type", "Reserved"], "Give one of CompartmentRegistered"),
        (["--locker", ""], "--locker is ''"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(
    run_command: RunCommand, options: list[str], message: str
) -> None:
    result = run_command("follow", url(1), *options)
    assert result.exit_code == 2
    assert message in re.sub(r"\s*\n[│ ]*", " ", result.errors)


def test_the_words_of_a_refusal_are_printed(server: Server, run_command: RunCommand) -> None:
    result = run_command("follow", url(server.port), "--after", "7")
    assert result.exit_code == 1
    assert "ends at position 0" in result.errors


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"detail":1', b"\xff", b"{}"])
def test_a_server_that_is_not_lockstream_is_named(body: bytes, run_command: RunCommand) -> None:
    with scripted_server(lambda _, __: response(404, body)) as port:
        result = run_command("follow", url(port))
    assert result.exit_code == 1
    assert "answered 404" in result.errors
    assert "Check that the URL is that of a Lockstream server" in result.errors


def test_failures_are_told_once_until_a_request_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    # given a server that hangs up, is overloaded twice, and then answers
    page = (
        b"HTTP/1.1 200 OK\r\nLockstream-Through: 1\r\nLockstream-Log: " + b"a" * 32 + b"\r\ncontent-length: 2\r\n\r\n{}"
    )
    script = [response(503), response(502), page, b"", page]
    pauses: list[float] = []
    requests: list[bytes] = []

    def respond(number: int, request: bytes) -> bytes:
        requests.append(request.splitlines()[0])
        return script[number]

    with scripted_server(respond) as port:
        follower = Follower(url(port), "0", {}, pauses.append)
        pages = follower.pages()
        assert (next(pages), next(pages)) == (b"{}", b"{}")
        follower.close()
    assert len(pauses) == 3
    # the first page is asked for without waiting, so that the place to go on is known before an event is missed
    assert [b"wait=0" in request for request in requests] == [True, True, True, False, False]
    assert [b"after=0" in request for request in requests] == [True, True, True, False, False]
    assert capsys.readouterr().err.count("is sent again every second") == 2
