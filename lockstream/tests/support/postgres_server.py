"""A PostgreSQL server that can be killed, started again, copied to a standby, and promoted."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Self

from bench.postgres import Postgres
from lockstream.tests.support.processes import wait_until


class PostgresServer(Postgres):
    """A server that can be killed. Used in a `with` statement, it leaves nothing behind."""

    def __init__(self, primary: Self | None = None, **settings: str) -> None:
        """Create an empty server, or a standby that streams from `primary`."""
        self._primary = primary
        super().__init__(Path(tempfile.mkdtemp(prefix="lockstream-postgres-")), **{"max_connections": "50", **settings})

    def fill(self) -> None:
        if self._primary is None:
            locale = "--encoding=UTF8", "--locale=C"
            self.run("initdb", "--auth=trust", *locale, "-U", "postgres", "--no-sync", "-D", self._data)
        else:
            source = f"host=127.0.0.1 port={self._primary.port} user=postgres"
            self.run("pg_basebackup", "-D", self._data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    def kill(self) -> None:
        """Kill all processes at once, as a power cut would.

        Killing the process group of the first process is not enough, since each of the others has one of its own: these
        may still answer, and keep the shared memory that a start needs.
        """
        os.kill(self.pid, signal.SIGSTOP)  # so that it starts no further process, and does not notice the kills
        wait_until(lambda: _state(self.pid) == "T")
        others = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in map(int, others):
            os.kill(pid, signal.SIGKILL)
        super().kill()
        wait_until(lambda: not any(_state(int(pid)) for pid in others))

    @property
    def log(self) -> str:
        """The text that the server has logged."""
        return (self._home / "log").read_text()

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "-w", "-D", self._data)

    def require_standby(self, name: str) -> None:
        """Let commits wait for the standby `name` from now on; for none if the name is empty."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute("SHOW synchronous_standby_names") == [(name,)])
        self.execute("CHECKPOINT")  # the checkpointer tells the other processes to wait, and has read the setting then


def _state(pid: int) -> str:
    """Return the state of a process as Linux shows it, such as "T" for stopped, and "" if it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else state
