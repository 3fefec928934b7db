"""A connection that waits for an answer for so long, and no longer.

PostgreSQL's own limits do not hold where it stands still: its disk hangs, a standby that a commit waits for is away,
or the whole machine was stopped, while its kernel answers for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import ConnStatus

LOOK_SECONDS = 0.1
"""How often whoever waits looks for a signal."""


class Connection(psycopg.Connection):
    """One that is given up where an answer takes longer than `patience` seconds."""

    patience: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = LOOK_SECONDS, timeout: float | None = None) -> RV:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: it does not come.
        """
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # it has no other name
            self.pgconn.finish()  # nobody shall wait for the same once more
            raise psycopg.OperationalError(f"no answer within {self.patience} seconds") from error

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Have all statements sent in one go."""
        self._pipeline = _Pipeline(self)
        with super().pipeline() as pipeline:
            yield pipeline


class _Pipeline(psycopg.Pipeline):
    """Statements that are sent in one go, with nothing behind what ends them.

    psycopg asks once more for what was answered, by a Flush behind the Sync. Where that comes late, PgBouncer has given
    the session to somebody else by then, takes another one for it, and keeps that for as long as the connection is
    silent: nothing is ever answered to a Flush alone (seen with 1.18; others soon waited for a session in vain).
    """

    def _exit_gen(self) -> PQGen[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        except psycopg.Error:  # which says more of what has happened than what follows
            if self.pgconn.status == ConnStatus.OK:
                with suppress(psycopg.Error):
                    yield from self._fetch_gen(flush=False)
            raise
        yield from self._fetch_gen(flush=False)


def has_ended(connection: Any) -> bool:
    """Whether the other end has gone away from a connection that nobody uses."""
    looking = poll()
    looking.register(connection.pgconn.socket, POLLIN)
    return bool(looking.poll(0))


def is_shared(connection: psycopg.Connection) -> bool:
    """Whether PgBouncer, or the like, is between: it has numbers of its own for those who connect.

    Raises:
        psycopg.OperationalError: the connection was lost, and is closed.
    """
    try:
        [(process,)] = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
    except BaseException:
        connection.close()
        raise
    return bool(process != connection.info.backend_pid)
