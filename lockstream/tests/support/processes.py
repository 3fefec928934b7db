"""Real processes: `lockstream serve` on a free port, and any other command, which can be killed in every way."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import pytest

import lockstream
from lockstream.tests.support.requirements import requires

TIMEOUT_SECONDS = 300
"""Time after which a test gives up on a process. The time is long, so that a slow machine fails no test."""

TEST_VARIABLES = "LOCKSTREAM_TEST_", "LOCKSTREAM_CRASH"
"""Prefixes of variables that configure the tests. The service would take them for unknown settings."""

COVERAGE_VARIABLE = "COVERAGE_PROCESS_CONFIG"
"""Its presence has the coverage of a process measured, if the tests measure theirs."""

_KEY = re.compile("lsk_([0-9A-Za-z]{8})_[0-9A-Za-z]{43}")

_ADDRESS = re.compile(r"running on http://127\.0\.0\.1:(\d+) ")  # with the blank, so that the number is complete


def printed_keys(text: str) -> list[str]:
    """Return the public id of each API key in a text that has its secret as well."""
    return _KEY.findall(text)


def assert_no_key(printed: str | bytes) -> None:
    """Require that a server or command has printed no API key. The message repeats its public id alone."""
    ids = printed_keys(printed.decode("latin-1") if isinstance(printed, bytes) else printed)
    assert not ids, f"the keys {ids} were printed with their secrets"


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that then stays true."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.01)


def environment(log: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a process that finds this package and `log`, with `settings` added."""
    package = str(Path(lockstream.__file__).parents[1])
    given = {name: value for name, value in os.environ.items() if not name.startswith(TEST_VARIABLES)}
    given.pop("PYTHONUNBUFFERED", None)  # output without a buffer hides errors of a flush at the exit
    return {**given, "PYTHONPATH": package, "EVENT_LOG_PATH": str(log), "COLUMNS": "200", **settings}


def command(
    log: Path, *arguments: str, standard_input: bytes | None = None, under: Sequence[str] = (), **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `lockstream` with `arguments` as a process, and wait for its end. `under` is a command that runs it."""
    ended = subprocess.run(
        [*under, sys.executable, "-m", "lockstream", *arguments],
        cwd=log.parent,
        env=environment(log, **settings),
        input=standard_input,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert_no_key(ended.stderr)
    return ended


def redirected(redirection: str) -> tuple[str, ...]:
    """Return a command that runs another one with a redirection, such as `>&-`, which closes its output."""
    return "sh", "-c", f'exec "$@" {redirection}', "sh"


NO_SPACE = ("env", "-u", COVERAGE_VARIABLE, "sh", "-c", 'ulimit -f 1; exec "$@"', "sh")
"""Runs another command that cannot write a file longer than 1 KiB. Coverage data would exceed that, so it is off."""


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the kernel refuse every byte beyond `size` of a file with EFBIG, as a full disk refuses it with ENOSPC.

    It limits this process. Python ignores the signal that comes with the error.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def peak_memory(server: "Server") -> int:
    """Return the most bytes that a server has had in memory so far. Needs /proc."""
    (peak,) = (line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmHWM" in line)
    return int(peak.split()[1]) * 1024


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")


def _can_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


needs_strace = requires(_can_trace(), "strace, and the right to trace")


STRACE = ("strace", "-D", "-f", "-qq")
"""Runs another command, which stays our child, and traces all of its threads."""

FAST = "--seccomp-bpf"
"""Option of strace: stop the other command only at the calls that are traced, so that it runs as fast as untraced.
With this option, strace 6.1 injects no signals."""


def traced(output: Path, file: Path, *options: str) -> list[str]:
    """Return a command that runs another one under strace, and traces calls on `file`. The other stays our child."""
    fast = [] if any("signal=" in option for option in options) else [FAST]
    return [*STRACE, *fast, "-o", str(output), "-P", str(file), *options]


SERVE = ("-m", "lockstream", "serve")
"""Arguments of Python that start the server."""


class Server:
    """`lockstream serve` on a free port. Used in a `with` statement, it leaves no process behind."""

    def __init__(
        self,
        log: Path,
        *,
        under: Sequence[str] = (),
        program: Sequence[str] = SERVE,
        **settings: str,
    ) -> None:
        """`under` is a command that runs the server, such as strace; `settings` are environment variables."""
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
        """Start the process without waiting for it."""
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
        """Start the process, and wait until it listens, even if it is still catching up."""
        self.launch()
        self.port = int(self.wait_for_log(_ADDRESS)[1])
        return self

    def wait_for_log(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait until standard error contains a match of `pattern`, and return it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not (found := re.search(pattern, self.stderr)):
            assert self._running.poll() is None, f"the server did not start:\n{self.stderr}"
            assert time.monotonic() < deadline, f"the server does not listen:\n{self.stderr}"
            time.sleep(0.01)
        return found

    def start(self) -> Self:
        """Start the process, and wait until it answers reads."""
        self.listen()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (status := self.get("/lockers/unknown")[0]) == 503:
            assert time.monotonic() < deadline, f"the server does not catch up:\n{self.stderr}"
            time.sleep(0.01)
        assert status == 404
        return self

    def stop(self, sent: signal.Signals) -> int:
        """Send a signal, wait for the end of the process, and return its exit code."""
        self._running.send_signal(sent)
        return self.wait()

    def kill(self) -> None:
        """Kill the process, as a power cut would: it can finish nothing."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL, f"the server had ended before:\n{self.stderr}"

    def wait(self) -> int:
        process = self._running
        try:
            return process.wait(TIMEOUT_SECONDS)
        finally:
            process.kill()
            process.wait()
            self._process = None
            assert_no_key(self.stderr)

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def stderr(self) -> str:
        """Standard error of the last process."""
        return self._stderr.read_text()

    def get(self, path: str) -> tuple[int, bytes]:
        status, _, body = self.request("GET", path)
        return status, body

    def post(self, body: bytes) -> int:
        """Post an event, and return the status."""
        return self.request("POST", "/events", body)[0]

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers with names in lower case, and body of the response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            headers_in = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers_in, response.read()
        finally:
            connection.close()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server has not been started"
        return self._process
