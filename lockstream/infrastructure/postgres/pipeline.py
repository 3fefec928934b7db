"""A psycopg connection with a timeout for every answer, and a pipeline that ends with a Sync message.

This module alone uses private parts of psycopg (tested with 3.3; `pyproject.toml` caps the version).

PostgreSQL's own timeouts do not help if the server stands still: its disk hangs, the standby that a commit waits for
is away, or the machine's processes are stopped while its kernel still answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import ConnStatus

from lockstream.compatibility import require_parts

SIGNAL_CHECK_SECONDS = 0.1
"""Interval at which a waiting thread checks for signals."""

require_parts("psycopg", psycopg.errors, "_WaitTimeout")
require_parts("psycopg", psycopg.Pipeline, "_exit_gen", "_enqueue_sync", "_communicate_gen", "_fetch_gen")


class AnswerTimeout(psycopg.OperationalError):
    """Raised when the database does not answer within the connection's `timeout_seconds`."""


class Connection(psycopg.Connection):
    """A connection that is given up if an answer takes longer than `timeout_seconds`."""

    timeout_seconds: float | None = None
    on_round_trip: Callable[[], object] | None = None
    """Called for each round trip."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        require_parts("psycopg", self, "_pipeline")  # not in the class; under another name, psycopg would ignore it

    def wait(self, gen: PQGen[RV], interval: float = SIGNAL_CHECK_SECONDS, timeout: float | None = None) -> RV:
        """Wait for an answer.

        Raises:
            AnswerTimeout: the timeout has passed.
        """
        limit = self.timeout_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout as error:  # this class has no public name
            self.pgconn.finish()  # so that nobody waits for the same answer again
            raise AnswerTimeout(f"no answer within {limit:g} s") from error

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Send all statements of the block in one round trip."""
        self._pipeline = _Pipeline(self)
        with super().pipeline() as pipeline:
            yield pipeline


class _Pipeline(psycopg.Pipeline):
    """A pipeline that sends nothing after its Sync message.

    psycopg sends a Flush message after the Sync. If the Flush arrives late, PgBouncer has already given the session
    to another client, and takes a further session for the Flush alone. A Flush has no answer, so PgBouncer keeps that
    session while the connection is silent. With PgBouncer 1.18, other clients soon waited for a session.
    """

    def _exit_gen(self) -> PQGen[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        except psycopg.Error:  # the first error tells more than the errors that follow it
            if self.pgconn.status == ConnStatus.OK:
                with suppress(psycopg.Error):
                    yield from self._fetch_gen(flush=False)
            raise
        yield from self._fetch_gen(flush=False)


def is_closed_by_peer(connection: Any) -> bool:
    """Return whether the server has closed an idle connection."""
    polled = poll()
    polled.register(connection.pgconn.socket, POLLIN)
    return bool(polled.poll(0))


def is_pooled(connection: psycopg.Connection) -> bool:
    """Return whether a pooler such as PgBouncer is between: it announces process ids of its own.

    Raises:
        psycopg.OperationalError: the connection was lost, and is closed.
    """
    try:
        [(process_id,)] = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
    except BaseException:
        connection.close()
        raise
    return bool(process_id != connection.info.backend_pid)
