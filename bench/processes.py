"""The processes that are measured: Lockstream and its peers, started as an operator would start them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Self, cast

import msgspec

from bench.errors import BenchFailure

ROOT = Path(__file__).parents[1]

_TIMEOUT_SECONDS = 900
"""Timeout of a start, a stop or a command. Reading a log of millions of events takes minutes."""

_ADDRESS = re.compile(r"running on http://127\.0\.0\.1:(\d+)\s")
_KEY = re.compile(r"lsk_\w+")
_SETTINGS = "LOCKSTREAM_", "EVENT_LOG", "DATABASE_URL"
"""Prefixes of Lockstream's environment variables."""


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a process with only the given settings, since Lockstream's defaults are measured."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


class ServerProcess:
    """A server on a free port. Used in a `with` statement, it leaves no process behind."""

    def __init__(self, arguments: Sequence[str], *, under: Sequence[str] = (), **settings: str) -> None:
        """Start Python with `arguments`. `under` is a command that runs Python, such as strace."""
        self._stderr = tempfile.NamedTemporaryFile(prefix="bench-", suffix=".txt")  # noqa: SIM115  # closed in __exit__
        self.launched = time.perf_counter()
        self._process = subprocess.Popen(
            [*under, sys.executable, *arguments],
            cwd=ROOT,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )
        self.port = 0

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not (address := _ADDRESS.search(self._log())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                code, log = self._end(signal.SIGKILL), self._log()
                self._stderr.close()
                raise BenchFailure(f"A server did not start, and ended with {code}:\n{log}")
            time.sleep(0.001)
        self.port = int(address[1])
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Kill the process. If it had ended before and something failed, add its log to the error."""
        code = self._process.poll()
        self._end(signal.SIGKILL)
        log = self._log()
        self._stderr.close()
        if isinstance(error, BenchFailure) and code is not None:
            raise BenchFailure(f"{error} The server had ended with {code}:\n{log}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Stop the server with SIGTERM.

        Raises:
            BenchFailure: its exit code is not 0.
        """
        if (code := self._end(signal.SIGTERM)) != 0:
            raise BenchFailure(f"A server ended with {code}:\n{self._log()}")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def get(self, path: str) -> int:
        """Return the status of a GET."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def _end(self, sent: signal.Signals) -> int:
        self._process.send_signal(sent)
        try:
            return self._process.wait(_TIMEOUT_SECONDS)
        finally:
            self._process.kill()

    def _log(self) -> str:
        return Path(self._stderr.name).read_text()


class Lockstream(ServerProcess):
    """`python run.py` on `log`, or another program. Settings that are not given have their defaults."""

    def __init__(
        self,
        log: Path,
        *,
        under: Sequence[str] = (),
        program: Sequence[str] = (str(ROOT / "run.py"),),
        **settings: str,
    ) -> None:
        given = {"EVENT_LOG_PATH": str(log), "LOCKSTREAM_PORT": "0", **settings}
        super().__init__(program, under=under, **given)
        self.log = log

    @property
    def projection(self) -> str:
        """Path of the projection."""
        return f"{self.log}.projection.sqlite"

    def wait_for_reads(self) -> None:
        """Wait until the server answers reads, which needs a projection that has caught up.

        Raises:
            BenchFailure: the server does not answer reads in time.
        """
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while (status := self.get("/lockers/unknown")) == 503 and time.monotonic() < deadline:
            time.sleep(0.01)
        if status != 404:
            raise BenchFailure(f"GET of an unknown locker was answered with {status}, not with 404.")


def create_key(log: Path, *arguments: str) -> str:
    """Return the text of a new API key for the servers of a log. `arguments` are those of `lockstream keys create`.

    Raises:
        BenchFailure: the key cannot be created.
    """
    created = subprocess.run(
        [sys.executable, "-m", "lockstream", "keys", "create", *arguments, "--log", str(log)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if created.returncode or not (key := _KEY.search(created.stdout)):
        raise BenchFailure(f"No key was created:\n{created.stdout}{created.stderr}")
    return key[0]


class LineProcess:
    """A Python program that exchanges lines with the benchmark."""

    def __init__(self, *arguments: str) -> None:
        """Start Python with `arguments`."""
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def write_line(self, line: bytes) -> None:
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    def read_line(self) -> bytes:
        """Wait for the next line.

        Raises:
            BenchFailure: the process has ended. The text is its output on standard error.
        """
        line = self._stdout.readline()
        if not line:
            raise BenchFailure(self._process.communicate()[1].decode().strip())
        return line

    def wait(self) -> None:
        """Wait for the end of the process."""
        self._process.communicate()

    def kill(self) -> None:
        self._process.kill()
        self.wait()


class Peer(ServerProcess):
    """A module of `bench.peers` that serves HTTP."""

    def __init__(self, module: str, *arguments: str) -> None:
        super().__init__(["-m", f"bench.peers.{module}", *arguments])


def projection_files(log: Path) -> list[Path]:
    """Return the files of a log's projection, beside it."""
    return list(log.parent.glob(f"{log.name}.projection*"))


def run_peer[T](output: type[T], module: str, *arguments: object) -> T:
    """Run a module of `bench.peers` to its end, and return its output.

    Raises:
        BenchFailure: its exit code is not 0.
    """
    return msgspec.json.decode(run("-m", f"bench.peers.{module}", *map(str, arguments)), type=output)


def run(*arguments: str, **settings: str) -> str:
    """Run Python with `arguments` to its end, and return its output.

    Raises:
        BenchFailure: its exit code is not 0.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchFailure(f"`{' '.join(arguments)}` ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout.decode() + done.stderr.decode()
