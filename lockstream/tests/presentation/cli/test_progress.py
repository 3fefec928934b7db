"""Progress bars: shown on a terminal for work that takes long, and nowhere else."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from lockstream.infrastructure.stores.embedded import projection_path, remove_projection
from lockstream.presentation.cli import output
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, environment, wait_until

EVENTS = 3_000

BAR = re.compile(r"━+ [123],\d{3} of 3,\d{3} events [\d,]+ a second")
"""A progress bar. An import estimates the number of all events from the size of the file."""

CONTROL_SEQUENCE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
"""A command to the terminal, such as a colour."""

ERASE_LINE = "\x1b[2K"

SERVE_WITHOUT_DELAY = """
from lockstream.presentation.cli import main, output

output.BAR_AFTER_SECONDS = 0
main.main()
"""
"""Runs `lockstream` with the arguments of the process, and shows progress bars without delay."""


class Terminal:
    """A pseudo-terminal that takes the place of a standard stream, and keeps the text written to it."""

    def __init__(self) -> None:
        self._screen, program = pty.openpty()
        self.stream = os.fdopen(program, "w")
        self._written = b""
        self._reader = Thread(target=self._read)
        self._reader.start()

    @property
    def shown(self) -> str:
        """The text written so far, without commands to the terminal."""
        return CONTROL_SEQUENCE.sub("", self._written.decode(errors="replace"))

    def close(self) -> str:
        """Close the terminal, and return the whole text written to it."""
        self.stream.close()
        self._reader.join()
        os.close(self._screen)
        return self._written.decode()

    def _read(self) -> None:
        with suppress(OSError):  # the end of a terminal is an error on Linux
            while some := os.read(self._screen, 4096):
                self._written += some


type RunOnTerminal = Callable[..., str]


@pytest.fixture
def run_on_terminal(run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> RunOnTerminal:
    """A function that runs a command whose standard error is a terminal, and returns the text shown there."""

    def run(*arguments: object, streams: tuple[str, ...] = ("sys.stderr",)) -> str:
        terminal = Terminal()
        try:
            with monkeypatch.context() as patched:
                patched.setenv("TERM", "xterm")
                for stream in streams:
                    patched.setattr(stream, terminal.stream)
                assert run_command(*arguments).exit_code == 0
        finally:
            shown = terminal.close()
        return shown

    return run


@pytest.fixture
def long_log(log_path: Path) -> Path:
    """A log long enough for several calls of a progress callback."""
    record(log_path, (registered(f"c{number}") for number in range(EVENTS)))
    return log_path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show progress bars without delay."""
    monkeypatch.setattr(output, "BAR_AFTER_SECONDS", 0)


def arguments_of(command: str, log: Path) -> list[object]:
    """Return the arguments with which `command` works on each event of `log`."""
    if command in ("import", "import --full"):
        return [*command.split(), log, "--log", log.with_name("other.jsonl")]
    return [command, *([log.with_name("copy.jsonl")] if command == "backup" else [])]


RESULTS = {
    "verify": f"OK: {EVENTS:,} events and 1 locker verified.",
    "rebuild": f"The projection was rebuilt from {EVENTS:,} events, … a second.",
    "export": "",
    "backup": f"{EVENTS:,} events copied to ….",
    "import": f"{EVENTS:,} accepted, 0 duplicate, 0 refused, 0 refused by an earlier import.",
    "import --full": f"{EVENTS:,} events imported unchanged.",
}
"""The lines that commands print on standard error; `…` stands for any text."""

each_command = pytest.mark.parametrize("command", RESULTS)


@each_command
def test_a_long_command_shows_its_progress_on_a_terminal(
    run_on_terminal: RunOnTerminal, long_log: Path, at_once: None, command: str
) -> None:
    shown = run_on_terminal(*arguments_of(command, long_log))
    lines = CONTROL_SEQUENCE.sub("", shown).replace("\r", "\n").splitlines()
    bars = [line for line in lines if "━" in line]
    assert bars
    assert [bar for bar in bars if not BAR.search(bar)] == []
    assert matches("".join(line for line in lines if "━" not in line), RESULTS[command])


@each_command
def test_a_command_prints_only_its_result_if_standard_error_is_not_a_terminal(
    run_command: RunCommand, long_log: Path, at_once: None, command: str
) -> None:
    result = run_command(*arguments_of(command, long_log))
    assert result.exit_code == 0
    assert matches(result.errors.removesuffix("\n"), RESULTS[command])


@each_command
def test_a_command_that_ends_soon_shows_no_progress(
    run_on_terminal: RunOnTerminal, long_log: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(output, "BAR_AFTER_SECONDS", float("inf"))
    shown = run_on_terminal(*arguments_of(command, long_log))
    assert matches(shown.replace("\r", "").removesuffix("\n"), RESULTS[command])


def test_an_export_to_the_terminal_shows_no_progress(
    run_on_terminal: RunOnTerminal, long_log: Path, at_once: None
) -> None:
    shown = run_on_terminal("export", streams=("sys.stderr", "sys.stdout"))
    assert shown.count("\n") == EVENTS
    assert "━" not in shown


@pytest.mark.parametrize(("out", "is_shown"), [("events.ndjson", True), ("-", False)])
def test_a_simulation_shows_its_progress_unless_its_events_are_shown(
    run_on_terminal: RunOnTerminal, at_once: None, out: str, is_shown: bool
) -> None:
    shown = run_on_terminal("simulate", "--lockers", 10, "--out", out, streams=("sys.stderr", "sys.stdout"))
    bar = re.search(r"Simulating [━╸╺]+ [\d,]+ of [\d,]+ events [\d,]+ a second", CONTROL_SEQUENCE.sub("", shown))
    assert bool(bar) == is_shown
    assert "events of 10 lockers" in shown


def test_a_server_shows_the_progress_of_its_catch_up_on_a_terminal(long_log: Path) -> None:
    remove_projection(projection_path(long_log))
    # when the server starts on a terminal, and has caught up and listens
    terminal = Terminal()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE_WITHOUT_DELAY, "serve"],
        cwd=long_log.parent,
        env=environment(long_log, LOCKSTREAM_PORT="0", TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stderr=terminal.stream,
    )
    try:
        wait_until(
            lambda: (
                process.poll() is not None
                or (f"{EVENTS:,} of {EVENTS:,} events" in terminal.shown and "running on http" in terminal.shown)
            )
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        shown = terminal.close()
    # then the bar has shown the events of the catch-up, and was erased at its end
    bars = [line for line in CONTROL_SEQUENCE.sub("", shown).replace("\r", "\n").splitlines() if "━" in line]
    assert bars
    assert [bar for bar in bars if "Catching up with the log" not in bar or not BAR.search(bar)] == []
    assert ERASE_LINE in shown[shown.rindex("━") :]


def test_a_server_shows_no_progress_if_standard_error_is_not_a_terminal(long_log: Path) -> None:
    remove_projection(projection_path(long_log))
    with Server(long_log, program=("-c", SERVE_WITHOUT_DELAY, "serve")).start() as server:
        assert server.stop(signal.SIGTERM) == 0
        assert "━" not in server.stderr


def matches(text: str, pattern: str) -> bool:
    """Return whether a text matches `pattern`, in which `…` stands for any text."""
    return bool(re.fullmatch(re.escape(pattern).replace("…", ".*"), text))
