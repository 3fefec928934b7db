"""The store of many nodes on one database: see `turn`."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import psycopg

from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.core.repositories import Queries, Seen
from lockstream.infrastructure.engines import Prepared
from lockstream.infrastructure.postgres.connecting import DIALECT, READERS, Database, Rows, Statement, unavailable
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.migrating import migrate, require_current
from lockstream.infrastructure.postgres.rebuilding import end_of, is_fit, rebuild, require_no_other_version
from lockstream.infrastructure.postgres.schema import HEAD, cursor_of
from lockstream.infrastructure.postgres.session import Session
from lockstream.infrastructure.postgres.turn import Turn
from lockstream.infrastructure.queries import SqlQueries
from lockstream.infrastructure.watching import Watch, unwatched

logger = logging.getLogger(__name__)


class _Settled(NamedTuple):
    """What was committed is in the projection, too."""

    reached: Cursor = START

    def write(self) -> None: ...
    def confirm(self) -> None: ...
    def restore(self) -> None: ...


class PostgresStore:
    """A locker network in a database that other nodes write, too. Any thread may read; one may write."""

    remote_readers = READERS
    due = crowded = behind = False

    def __init__(
        self, url: str, watch: Watch = unwatched, auto_migrate: bool | None = None, read_url: str | None = None
    ) -> None:
        """Open the log that `url` leads to, and make the projection where it is unfit.

        Reads go to `read_url`, if there is one: a copy of that database, which may be behind.

        Tables of another version are changed if `auto_migrate`; where there are none, they are made unless it is
        false.

        Raises:
            StartRefused: the tables are of another version; the text says what to do.
            LogDamaged: a record is not what was written.
            HistoryImpossible: the log was not written by these rules.
            StoreUnavailable: the database cannot be used.
        """
        self._database = Database(url)
        self._reads = Database(read_url) if read_url else self._database
        self._session = Session(self._database)
        self.log = PostgresLog(self._database)
        try:
            if auto_migrate is False:
                require_current(self._database)
            else:
                migrate(self._database, only_if_empty=not auto_migrate)
            if not is_fit(self._session):
                if not auto_migrate:
                    require_no_other_version(self._session, self._database.name)
                logger.info("The projection in the database %s is made anew from the log.", self._database.name)
                rebuild(self._database, watch, only_if_unfit=True)
            self.log.end = end_of(self._session)
        except psycopg.Error as error:
            self.close()
            raise unavailable(self._database.name, error) from error
        except BaseException:
            self.close()
            raise
        self.queries = SqlQueries(DIALECT, self._find)
        self.log.watch()

    def look[FoundT](self, query: Callable[[Queries], FoundT]) -> Seen[FoundT]:
        position = 0

        def find(statement: Prepared, values: dict[str, str]) -> Rows:
            nonlocal position
            end, found = self._reads.read(HEAD, Statement(statement.text, statement.bound(values)))
            position = cursor_of(end).position
            return found

        if self._reads is self._database and self.log.away:  # rather than have each read find that out
            raise StoreUnavailable(self.log.away)
        found = query(self.queries.using(find))
        return Seen(found, position)

    def unit_of_work(self) -> Turn:
        return Turn(self._session, self.log)

    def begin_settling(self) -> _Settled:
        return _Settled(self.log.end)

    def settle(self) -> None:
        return

    def fall_back(self) -> None:
        return

    def _find(self, statement: Prepared, values: dict[str, str]) -> Rows:
        return self._reads.read(Statement(statement.text, statement.bound(values)))[0]

    def close(self) -> None:
        self.log.close()
        self._session.close()
        self._reads.close()
        self._database.close()
