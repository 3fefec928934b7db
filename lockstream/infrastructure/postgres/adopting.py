"""A log in a database that takes over the records of another."""

from collections.abc import Sequence

import psycopg

from lockstream.core.entities.log import Record
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.postgres.connecting import BEGIN, COMMIT, Database, limits, unavailable
from lockstream.infrastructure.postgres.schema import HEAD, TAKE_TURN, adoption, cursor_of
from lockstream.infrastructure.postgres.session import Session


class AdoptingTables:
    """To be closed. The projection stays behind, so nodes take nothing in until it has been rebuilt."""

    def __init__(self, database: Database) -> None:
        """Find where the log ends.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        self._name = database.name
        self._session = Session(database)
        try:
            self.end = cursor_of(self._session.execute([BEGIN, limits(), HEAD, COMMIT])[2])
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error

    def adopt(self, records: Sequence[Record]) -> None:
        """Write records, which follow the last one, as they are.

        Raises:
            StoreUnavailable: none of them may be taken for written.
        """
        try:
            [*_, found] = self._session.execute([BEGIN, limits(), TAKE_TURN, HEAD])
            if cursor_of(found) != self.end:
                raise StoreUnavailable(f"Somebody else writes to the database {self._name}: stop that first.")
            self._session.execute([*adoption(records), COMMIT])
            if self._session.warnings:
                raise StoreUnavailable(f"{' '.join(self._session.warnings)} Start it again.")
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error
        self.end = records[-1].end

    def close(self) -> None:
        self._session.close()
