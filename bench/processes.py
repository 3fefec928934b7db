"""The processes that are measured: Lockstream and its peers, as an operator would start them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Protocol, Self

from bench.errors import BenchFailure

ROOT = Path(__file__).parents[1]

_PATIENCE_SECONDS = 900
"""How long a start or a command may take: a log of millions of events may have to be read."""

_ADDRESS = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
_SETTINGS = "LOCKSTREAM_", "EVENT_LOG", "DATABASE_URL"
"""What Lockstream's settings begin with."""

_TICKS = os.sysconf("SC_CLK_TCK")


def environment(**settings: str) -> dict[str, str]:
    """What a process needs to find the code, and no settings but these: what is measured are the defaults."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = "".join(_read(task) for task in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """What a process and all that it has started have used, those that have ended meanwhile among them."""
    fields = (_read(Path(f"/proc/{one}/stat")).rpartition(")")[2].split() for one in family(pid))
    return sum(int(ticks) for of in fields for ticks in of[11:15]) / _TICKS


def busy_seconds() -> float:
    """What all cores have been busy, with what the machine's host took (proc_stat(5): all but idle and iowait)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS


def memory(pid: int) -> dict[str, int]:
    """`Rss` and `Pss` in bytes, of a process and all that it has started."""
    rollups = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in family(pid)]
    return {
        kind: sum(int(re.findall(rf"^{kind}: +(\d+) kB", rollup, re.MULTILINE)[0]) * 1024 for rollup in rollups)
        for kind in ("Rss", "Pss")
    }


class Target(Protocol):
    """What a load is put on."""

    @property
    def ports(self) -> Sequence[int]:
        """Where connections go to, in turns."""
        ...

    @property
    def pids(self) -> Sequence[int]:
        """Whose CPU time is the contestant's."""
        ...

    @property
    def database_pids(self) -> Sequence[int]:
        """Whose CPU time is told by itself."""
        ...


class Service:
    """A server on a free port. To be used in a `with`: whatever happens, no process is left behind."""

    def __init__(self, arguments: Sequence[str], *, under: Sequence[str] = (), **settings: str) -> None:
        """`under` is a command that runs it, such as strace; `settings` are variables of the environment."""
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
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (address := _ADDRESS.search(self._said())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchFailure(
                    f"a server did not start, and ended with {self._end(signal.SIGKILL)}:\n{self._said()}"
                )
            time.sleep(0.001)
        self.port = int(address[1])
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """End it. If something went wrong because it had ended by itself, or was killed by others, say so."""
        ended = self._process.poll()
        self._end(signal.SIGKILL)
        said = self._said()
        self._stderr.close()
        if isinstance(error, BenchFailure) and ended is not None:
            raise BenchFailure(f"{error}; the server had ended with {ended}:\n{said}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ports(self) -> Sequence[int]:
        return [self.port]

    @property
    def pids(self) -> Sequence[int]:
        return [self.pid]

    @property
    def database_pids(self) -> Sequence[int]:
        return []

    def stop(self) -> None:
        """Have it finish.

        Raises:
            BenchFailure: it could not.
        """
        if (code := self._end(signal.SIGTERM)) != 0:
            raise BenchFailure(f"a server ended with {code}:\n{self._said()}")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def get(self, path: str) -> int:
        """The status."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _end(self, sent: signal.Signals) -> int:
        self._process.send_signal(sent)
        try:
            return self._process.wait(_PATIENCE_SECONDS)
        finally:
            self._process.kill()

    def _said(self) -> str:
        return Path(self._stderr.name).read_text()


class Lockstream(Service):
    """`python run.py` on `log`, with every setting at its default that is not given."""

    def __init__(self, log: Path, *, under: Sequence[str] = (), **settings: str) -> None:
        given = {"EVENT_LOG_PATH": str(log), "LOCKSTREAM_PORT": "0", **settings}
        super().__init__([str(ROOT / "run.py")], under=under, **given)
        self.log = log

    @property
    def projection(self) -> str:
        """The file that holds it."""
        return f"{self.log}.projection.sqlite"


class Peer(Service):
    """One of `bench.peers` that serves HTTP."""

    def __init__(self, name: str, *arguments: str) -> None:
        module = "bench.peers.answerer" if name == "answerer" else "bench.peers.apps"
        super().__init__(["-m", module, name, *arguments])


def run(*arguments: str, **settings: str) -> str:
    """Run a Python module or program to its end; what it printed.

    Raises:
        BenchFailure: it failed.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchFailure(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout.decode() + done.stderr.decode()


def projection_files(log: Path) -> Iterator[Path]:
    """The projection of `log`: all that lies beside it under the log's name and `.projection`."""
    return log.parent.glob(f"{log.name}.projection*")


def _read(file: Path) -> str:
    """What a file of /proc says; nothing, if its process has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return file.read_text()
    return ""
