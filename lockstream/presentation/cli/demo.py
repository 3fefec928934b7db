"""The demo: a server with a temporary log, a simulated month, and then new events in real time."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec
from msgspec import Struct

from lockstream.core.errors import SimulationFailed
from lockstream.presentation.cli.output import info
from lockstream.presentation.cli.simulate import Posting, write_log
from lockstream.presentation.http.routes.operations import CONSOLE_PATH
from lockstream.presentation.server.run import require_free_address
from lockstream.settings import PREFIX, Settings, environment_names
from lockstream.simulator.client import connection_to
from lockstream.simulator.rhythm import DAY
from lockstream.simulator.simulation import Simulation

STOP_SECONDS = 10
"""Time that the server has to stop before it is killed."""

READY_SECONDS = 60
"""Longest time that the demo waits until its server accepts events. After that, it posts events in any case."""

LOG = "event_log.jsonl"

_LISTENING = re.compile(r"running on (http://\S+) ")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Payload(Struct):
    reservation_id: str = ""
    compartment_id: str = ""


class _Event(Struct):
    """The part of an event that the demo shows."""

    occurred_at: str
    locker_id: str
    type: str
    payload: _Payload


def run(settings: Settings, lockers: int, days: float, seed: int, *, opens_browser: bool = True) -> None:
    """Serve and simulate until a signal comes. With `opens_browser`, the browser of a desktop shows the console.

    The past is recorded with its own times, before the server starts. Events that were refused then are posted to the
    server, so that the quarantine has them.

    Raises:
        SimulationFailed: the server could not be started, or has ended.
        StartRefused: the server cannot listen on its address.
    """
    require_free_address(settings.host, settings.port)  # tried before the simulation, which takes a while
    for sent in _SIGNALS:
        signal.signal(sent, signal.default_int_handler)
    try:
        with TemporaryDirectory(prefix="lockstream-demo-") as folder:
            now = int(time.time())
            simulation = Simulation(lockers, seed, now - round(days * DAY))
            past = write_log(simulation, now, Path(folder) / LOG)
            with (
                _Server(Path(folder), settings) as server,
                closing(Posting(simulation, server.url, server.require_running)) as posting,
            ):
                posting.post(past.still_refused)
                for line in _introduction(simulation, server.url):
                    info(line)
                if opens_browser and has_desktop(os.environ, sys.platform):
                    webbrowser.open(server.url + CONSOLE_PATH)
                for arrival, outcome in posting.follow():
                    info(_line(arrival.text, outcome))
    except KeyboardInterrupt:
        info("The demo has ended, and its log is removed.")


def has_desktop(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser can be shown here: on a desktop, and not in a job of continuous integration."""
    if environment.get("CI"):
        return False
    return platform == "darwin" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


class _Server:
    """`lockstream serve` as a process of its own, with a log in `folder`. The process ends with the block.

    The block begins once the server has caught up with its log, and accepts events.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        """The server has the host and the port of `settings`. All other settings have their defaults."""
        self._messages = folder / "messages.txt"
        self._environment = {
            **_without_settings(os.environ),
            "EVENT_LOG_PATH": str(folder / LOG),
            "LOCKSTREAM_HOST": settings.host,
            "LOCKSTREAM_PORT": str(settings.port),
        }
        self.url = ""

    def __enter__(self) -> Self:
        with self._messages.open("wb") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lockstream", "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
            )
        try:
            while not (found := _LISTENING.search(self._messages.read_text())):
                self.require_running()
                time.sleep(0.02)
            self.url = found[1]
            deadline = time.monotonic() + READY_SECONDS
            while not self._is_ready() and time.monotonic() < deadline:
                self.require_running()
                time.sleep(0.1)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def require_running(self) -> None:
        """Raise SimulationFailed if the server has ended, with the error that the server has printed, if any."""
        if (code := self._process.poll()) is not None:
            ended = f"The server of the demo has ended with exit code {code}. Start the demo again."
            errors = [line for line in self._messages.read_text().splitlines() if line.startswith("lockstream: ")]
            raise SimulationFailed([ended, *errors][-1].removeprefix("lockstream: "))

    def _is_ready(self) -> bool:
        connection, _ = connection_to(self.url, READY_SECONDS)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):  # the server has ended
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        for sent in _SIGNALS:
            signal.signal(sent, signal.SIG_IGN)  # a second Ctrl-C must not leave the server or its log behind
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environment` that set nothing. The names of settings count in upper and lower case."""
    names = set(environment_names().values())
    return {
        name: value
        for name, value in environment.items()
        if name.upper() not in names and not name.upper().startswith(PREFIX)
    }


def _introduction(simulation: Simulation, url: str) -> Iterator[str]:
    """Yield lines with the URLs of the console, of the documentation and of examples."""
    example = simulation.example()
    locker = f"{url}/lockers/{example.locker.name}"
    yield ""
    yield f"  console        {url}{CONSOLE_PATH}"
    yield f"  documentation  {url}/docs"
    yield f"  a locker       curl {locker}"
    yield f"  a compartment  curl {locker}/compartments/{example.name}"
    if example.reservation:
        yield f"  a reservation  curl {url}/reservations/{example.reservation}"
    yield ""
    yield "New events follow as they happen. Press Ctrl-C to end the demo; its log is then removed."
    yield ""


def _line(text: bytes, outcome: str) -> str:
    event = msgspec.json.decode(text, type=_Event)
    subject = event.payload.reservation_id or event.payload.compartment_id
    return f"{event.occurred_at}  {event.locker_id}  {event.type} {subject}: {outcome}"
