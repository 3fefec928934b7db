"""A server process of its own, and any other command as a process, which can be killed in every way."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import pytest

import lockstream

PATIENCE_SECONDS = 300
"""How long a process may take before a test gives up on it; a slow machine is no fault."""

OF_TESTS = "LOCKSTREAM_TEST_", "LOCKSTREAM_CRASH"
"""What variables begin with that say how much is tested: to the service they are unknown settings."""

_ADDRESS = re.compile(r"running on http://127\.0\.0\.1:(\d+) ")  # all of the number


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds that will hold from then on, until the test goes on: it may come late."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def environment(log: Path, **settings: str) -> dict[str, str]:
    """What a process needs to find this package and `log`; `settings` are added to it."""
    package = str(Path(lockstream.__file__).parents[1])
    given = {name: value for name, value in os.environ.items() if not name.startswith(OF_TESTS)}
    return {**given, "PYTHONPATH": package, "EVENT_LOG_PATH": str(log), "COLUMNS": "200", **settings}


def command(
    log: Path, *arguments: str, standard_input: bytes | None = None, under: Sequence[str] = (), **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `lockstream` with `arguments` as a process, to its end."""
    return subprocess.run(
        [*under, sys.executable, "-m", "lockstream", *arguments],
        cwd=log.parent,
        env=environment(log, **settings),
        input=standard_input,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


NO_ROOM = ("env", "-u", "COVERAGE_PROCESS_CONFIG", "sh", "-c", 'ulimit -f 1; exec "$@"', "sh")
"""What runs another command that can make no file longer than 1 KiB. To measure its coverage would take more."""


def can_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


needs_strace = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace here")


def traced(output: Path, file: Path, *options: str) -> list[str]:
    """A command that runs another under strace, watching calls on `file`; the other is our own child."""
    return ["strace", "-D", "-f", "-qq", "-o", str(output), "-P", str(file), *options]


SERVE = ("-m", "lockstream", "serve")
"""What Python is to run."""


class Server:
    """`lockstream serve` on a free port. To be used in a `with`: whatever happens, no process is left behind."""

    def __init__(
        self,
        log: Path,
        *,
        under: Sequence[str] = (),
        program: Sequence[str] = SERVE,
        **settings: str,
    ) -> None:
        """`under` is a command that runs it, such as strace; `settings` are variables of the environment."""
        self.log = log
        self.port = 0
        self._arguments = [*under, sys.executable, *program]
        self._settings = {"LOCKSTREAM_PORT": "0", **settings}
        self._stderr = log.with_name("stderr.txt")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)

    def launch(self) -> None:
        """Start the process, and wait for nothing."""
        assert self._process is None, "the server before this one has not been stopped"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self.log.parent,
                env=environment(self.log, **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def listen(self) -> Self:
        """Start, and wait until somebody answers, if only to say that there is something to catch up with."""
        self.launch()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (address := _ADDRESS.search(self.stderr)):
            assert self._running.poll() is None, f"the server did not start:\n{self.stderr}"
            assert time.monotonic() < deadline, f"the server does not answer:\n{self.stderr}"
            time.sleep(0.01)
        self.port = int(address[1])
        return self

    def start(self) -> Self:
        """Start, and wait until requests are answered."""
        self.listen()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (status := self.get("/lockers/nobody-has-this-one")[0]) == 503:
            assert time.monotonic() < deadline, f"the server does not catch up:\n{self.stderr}"
            time.sleep(0.01)
        assert status == 404
        return self

    def stop(self, sent: signal.Signals) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self._running.send_signal(sent)
        return self.wait()

    def kill(self) -> None:
        """Kill it as a power cut would: nothing can be finished."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL, f"the server had ended before:\n{self.stderr}"

    def wait(self) -> int:
        process = self._running
        try:
            return process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def stderr(self) -> str:
        """What the latest process has said."""
        return self._stderr.read_text()

    def get(self, path: str) -> tuple[int, bytes]:
        status, _, body = self.request("GET", path)
        return status, body

    def post(self, body: bytes) -> int:
        """Post an event; returns the status."""
        return self.request("POST", "/events", body)[0]

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with names in lower case, and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server has not been started"
        return self._process
