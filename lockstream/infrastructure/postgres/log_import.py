"""Import the records of a full export into the log of a database."""

from collections.abc import Sequence

import psycopg

from lockstream.core.entities.log import Record
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.postgres.connection import COMMIT, Database, Session, unavailable
from lockstream.infrastructure.postgres.statements import HEAD, TAKE_WRITE_LOCK, cursor_of, insert_records


class LogImport:
    """Appends records to a log. The projection is invalid until its rebuild, so nodes refuse events meanwhile."""

    def __init__(self, database: Database) -> None:
        """Find the end of the log.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._name = database.name
        self._session = Session(database)
        try:
            self.end = cursor_of(self._session.transact(HEAD)[HEAD])
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error

    def append_records(self, records: Sequence[Record]) -> None:
        """Append records, which follow the last record, unchanged.

        Raises:
            StoreUnavailable: none of the records was appended.
        """
        try:
            found = self._session.execute([*self._session.beginning, TAKE_WRITE_LOCK, HEAD])
            if cursor_of(found[HEAD]) != self.end:
                raise StoreUnavailable(
                    f"Another process writes to the database {self._name}. Stop it, and start this import again."
                )
            self._session.execute([*insert_records(records), COMMIT])
            if self._session.warnings:
                warnings = " ".join(self._session.warnings)
                raise StoreUnavailable(
                    f"The commit did not wait for the standby ({warnings}). Start this import again."
                )
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error
        self.end = records[-1].end

    def flush(self) -> None:
        return

    def close(self) -> None:
        self._session.close()
