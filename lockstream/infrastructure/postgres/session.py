"""A connection on which one thread sends what belongs together, again and again."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import psycopg
from psycopg.pq import TransactionStatus

from lockstream.infrastructure.postgres.connecting import (
    ANSWER_SECONDS,
    COMMIT,
    UNKNOWN,
    Database,
    Rows,
    Statement,
    execute,
)

LOST = (None, "57P01", "57P02", "25P03")
"""What is raised where a connection was lost before: by the driver itself, or as the last thing that PostgreSQL said
(admin_shutdown, crash_shutdown, idle_in_transaction_session_timeout)."""


class Session:
    """A connection that is made when it is needed, and anew where it was lost. For one thread at a time."""

    def __init__(self, database: Database, patience: float | None = ANSWER_SECONDS, drops: bool = False) -> None:
        """All that is executed in one go is answered within `patience` seconds, unless that is None.

        One that `drops` something prepares nothing: when it has, psycopg forgets all that was prepared, and in a
        pipeline some of what is prepared next with it.
        """
        self._database = database
        self._drops = drops
        self._patience = patience
        self._connection: psycopg.Connection | None = None
        self.warnings: list[str] = []
        """Of what was executed last."""

    def execute(self, statements: Iterable[Statement]) -> list[Rows]:
        """Send `statements` in one go, and return what each of them found. Where one fails, so do those behind it.

        Raises:
            psycopg.Error: one has failed; what was begun is undone, as far as can be known.
        """
        self.warnings.clear()
        if self._connection is None:
            self._connection = self._database.connect(self._patience)
            self._connection.add_notice_handler(self._notice)
            if self._drops:
                self._connection.prepare_threshold = None
        try:
            return execute(self._connection, list(statements))
        except BaseException:
            self.close()  # that undoes what was begun; and who knows what else the connection has become
            raise

    def begin(self, statements: Sequence[Statement]) -> list[Rows]:
        """Execute what changes nothing yet: on a new connection, where this one was lost before.

        Raises:
            psycopg.Error: a statement has failed.
        """
        try:
            return self.execute(statements)
        except UNKNOWN as error:
            if error.sqlstate not in LOST:
                raise
            return self.execute(statements)

    def let_go(self) -> None:
        """End what was begun, if anything was, and nothing was written in it."""
        if self._connection and self._connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self.execute([COMMIT])  # a ROLLBACK would make psycopg forget what it has prepared

    def close(self) -> None:
        if self._connection:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(notice.message_primary or "")
