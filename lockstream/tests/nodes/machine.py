"""A PostgreSQL that can be killed, started again, copied to a standby, and promoted."""

import tempfile
from pathlib import Path
from typing import Self

from bench.postgres import Postgres
from lockstream.tests.support.processes import wait_until


class Machine(Postgres):
    """To be used in a `with`; nothing is left behind."""

    def __init__(self, of: Self | None = None, **settings: str) -> None:
        """A new database, or a standby `of` another that streams from it."""
        self._of = of
        super().__init__(Path(tempfile.mkdtemp(prefix="lockstream-machine-")), max_connections="50", **settings)

    def fill(self) -> None:
        if self._of is None:
            super().fill()
        else:
            source = f"host=127.0.0.1 port={self._of.port} user=postgres"
            self.run("pg_basebackup", "-D", self._data, "-d", source, "-R", "-X", "stream", "-c", "fast")

    @property
    def said(self) -> str:
        """What it has logged."""
        return (self._home / "log").read_text()

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "-w", "-D", self._data)

    def wait_for_standby(self, name: str) -> None:
        """Have commits wait for a standby of that name from now on; for none, where it is empty."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute("SHOW synchronous_standby_names") == [(name,)])
        self.execute("CHECKPOINT")  # whoever makes one is who tells others to wait, and has read the setting by then
