"""`lockstream demo` and `make demo`: a real server, which leaves nothing behind."""

import os
import re
import signal
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lockstream.presentation.cli.demo import has_desktop
from lockstream.tests.presentation.cli.running_command import running
from lockstream.tests.support.processes import TIMEOUT_SECONDS, needs_proc, wait_until
from lockstream.tests.support.requirements import requires_program

ROOT = Path(__file__).parents[4]
SMALL = ("demo", "--lockers", "3", "--days", "3")
INTRODUCED = r"Press Ctrl-C to end the demo"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the demo, which is empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("LOCKSTREAM_PORT", "0")
    for name in ("CI", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def status_of(url: str) -> int:
    split = urlsplit(url)
    connection = HTTPConnection(str(split.hostname), split.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", split.path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_serves_a_simulated_network_until_it_is_stopped(
    log_path: Path, temporary: Path, sent: signal.Signals
) -> None:
    with running(log_path, *SMALL) as command:
        # when the days before now are posted
        command.wait_for(INTRODUCED)
        # then everything that the demo points to is there
        places = re.findall(r"^  [a-z].* (http://\S+)$", command.errors, re.MULTILINE)
        assert [urlsplit(place).path.split("/")[1] for place in places] == [
            "console",
            "docs",
            "lockers",
            "lockers",
            "reservations",
        ]
        assert [status_of(place) for place in places] == [200] * 5
        # and nothing but the recorded events comes before: the demo posts once its server is ready
        recorded = r"[\d,]+ events of 3 lockers with \d+ compartments recorded\. Left out: .*\n\n  console  "
        assert re.match(recorded, command.errors)
        # and at its end, nothing is left
        assert command.stop(sent) == 0
        assert command.errors.endswith("The demo has ended, and its log is removed.\n")
    assert list(temporary.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        status_of(places[0])
    assert not log_path.exists()


DESKTOPS = [
    ({}, "linux", False),
    ({"DISPLAY": ":0"}, "linux", True),
    ({"DISPLAY": ""}, "linux", False),
    ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
    ({"WAYLAND_DISPLAY": "wayland-0", "CI": "true"}, "linux", False),
    ({}, "darwin", True),
    ({"CI": "1"}, "darwin", False),
]


@pytest.mark.parametrize(("environment", "platform", "expected"), DESKTOPS)
def test_a_browser_is_opened_on_a_desktop_alone(environment: dict[str, str], platform: str, expected: bool) -> None:
    assert has_desktop(environment, platform) == expected


@pytest.mark.parametrize("options", [(), ("--no-browser",)])
def test_the_demo_opens_the_console_in_a_browser(
    log_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    # given a desktop, whose browser writes the address into a file
    opened, browser = temporary.parent / "opened.txt", temporary.parent / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setenv("DISPLAY", ":99")
    with running(log_path, *SMALL, *options) as command:
        command.wait_for(INTRODUCED)
        if options:
            assert command.stop(signal.SIGINT) == 0
            assert not opened.exists()
        else:
            wait_until(lambda: opened.exists() and opened.read_text().endswith("\n"))
            assert opened.read_text().strip() in command.errors
            assert opened.read_text().endswith("/console\n")


def test_the_demo_shows_new_events_in_real_time(log_path: Path, temporary: Path) -> None:
    """In a network's first minutes, many lockers open."""
    with running(log_path, "demo", "--lockers", "1500", "--days", "0.01") as command:
        command.wait_for(INTRODUCED)
        command.wait_for(r"\+0\d:00  [A-Z]{3}-\d{4}  CompartmentRegistered [A-O]0\d: accepted\n")


def test_the_demo_ignores_other_settings(log_path: Path, temporary: Path) -> None:
    others = {
        "LOCKSTREAM_UNIX_SOCKET": str(temporary / "socket"),
        "LOCKSTREAM_LOG_LEVEL": "error",
        "Lockstream_Max_Event_Bytes": "1024",
        "DATABASE_URL": "postgresql://nobody@nowhere.invalid/nothing",
        "database_url": "postgresql://nobody@nowhere.invalid/nothing",
        "Event_Log_Path": str(log_path),
    }
    with running(log_path, *SMALL, **others) as command:
        command.wait_for(INTRODUCED)
        assert status_of(command.wait_for(r"a locker +curl (\S+)\n")[1]) == 200
        assert command.stop(signal.SIGINT) == 0
    assert not log_path.exists()


def test_a_port_in_use_is_an_error_before_anything_is_simulated(log_path: Path, temporary: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        running(log_path, *SMALL, "--port", str(port := taken.getsockname()[1])) as command,
    ):
        assert command.wait() == 1
        assert command.errors == (
            f"lockstream: cannot listen on 127.0.0.1:{port}: Address already in use. Set LOCKSTREAM_HOST and "
            "LOCKSTREAM_PORT to another address.\n"
        )
    assert list(temporary.iterdir()) == []


@needs_proc
def test_the_demo_ends_if_its_server_is_killed(log_path: Path, temporary: Path) -> None:
    with running(log_path, "demo", "--lockers", "1500", "--days", "0.01") as command:
        command.wait_for(INTRODUCED)
        # when
        [server] = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        os.kill(int(server), signal.SIGKILL)
        # then the next events end the demo
        assert command.wait() == 1
        assert command.errors.splitlines()[-1] == (
            "lockstream: The server of the demo has ended with exit code -9. Start the demo again."
        )
    assert list(temporary.iterdir()) == []


@requires_program("make")
def test_make_demo_runs_the_demo(log_path: Path, temporary: Path) -> None:
    """Ctrl-C reaches every process of the terminal. The environment for make is this one, so nothing is set up."""
    make = ("make", "--directory", str(ROOT), "--old-file", "runtime", f"BIN={Path(sys.executable).parent}")
    with running(log_path, "demo", program=make) as command:
        # given a demo that posts its month
        wait_until(lambda: any(path.stat().st_size for path in temporary.glob("*/event_log.jsonl")))
        # when
        os.killpg(command.pid, signal.SIGINT)
        command.wait()
        # then
        wait_until(lambda: not list(temporary.iterdir()))
        assert "The demo has ended, and its log is removed." in command.errors
        assert "Traceback" not in command.errors
