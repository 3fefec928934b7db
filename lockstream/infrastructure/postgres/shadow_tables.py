"""Rebuild the projection from the log in shadow tables, while nodes go on to use the old projection.

The shadow tables live in a schema of their own until they have nearly reached the end of the log. One transaction,
under the write lock, then brings them up to the end and swaps them in.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
from msgspec.structs import astuple
from sqlalchemy.schema import CreateIndex, CreateTable

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import START, Cursor, Moment
from lockstream.core.errors import SchemaMismatch
from lockstream.core.ports import OnProgress
from lockstream.core.row_set import RowSet
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.postgres.connection import (
    COMMIT,
    DIALECT,
    Database,
    Session,
    Statement,
    unavailable,
)
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.row_lookup import RowLookup, RowsBefore, change_totals, insert_moments, upserts
from lockstream.infrastructure.postgres.statements import (
    HEAD,
    HEAD_AND_VERSION,
    REBUILD_LOCK_ID,
    TAKE_WRITE_LOCK,
    cursor_of,
    update_progress,
)
from lockstream.infrastructure.rows.tables import PROJECTION_TABLES, fingerprint, network_totals, progress

SHADOW_SCHEMA = "lockstream_rebuilding"
"""Beginning of the name of the schema of shadow tables."""

FINAL_BATCH_EVENTS = 5_000
"""Events that may be left for the transaction that swaps the tables: half a second of work under the write lock."""

logger = logging.getLogger(__name__)


class ShadowTables:
    """A projection in shadow tables. Each chunk is a transaction, except during the swap.

    The name of the schema is unique, so a rebuild that has lost the rebuild lock fails instead of mixing its rows in.
    """

    def __init__(self, session: Session) -> None:
        self.schema = f"{SHADOW_SCHEMA}_{uuid4().hex}"
        self.reached = START
        self._use_schema = Statement(f"SET LOCAL search_path TO {self.schema}")
        self._begin: Sequence[Statement] = [*session.beginning, self._use_schema]
        self._end: Sequence[Statement] = [COMMIT]
        self._session = session
        self._before = RowsBefore({}, {})

    def create(self) -> None:
        """Create the shadow tables, and drop the shadow tables of interrupted rebuilds."""
        values = dict(zip(_PROGRESS_COLUMNS, (fingerprint(), *astuple(START), 0, 0, 0), strict=True))
        self._session.execute(
            [
                *self._session.beginning,
                TAKE_WRITE_LOCK,
                Statement(_DROP_SHADOW_SCHEMAS),
                Statement(f"CREATE SCHEMA {self.schema}"),
                self._use_schema,
                *_create_tables(),
                Statement(_INSERT_PROGRESS, values),
                Statement(f"INSERT INTO {network_totals.name} DEFAULT VALUES"),
                COMMIT,
            ]
        )

    def fetch(self, events: Sequence[Event]) -> RowSet:
        lookup = RowLookup(events)
        rows = lookup.row_set(self._session.execute([*self._begin, *lookup.statements]))
        self._before = RowsBefore.of(rows)
        return rows

    def apply(self, rows: RowSet, events: Sequence[Event], moments: Sequence[Moment], end: Cursor) -> None:
        totals = change_totals(self._before, rows, self.reached.position, end.position)
        self._session.execute([*upserts(rows), *totals, insert_moments(moments), update_progress(end), *self._end])
        self.reached = end

    def swap_in(self, schema: str, follow: Callable[[int], object]) -> bool:
        """Bring the shadow tables up to the log by `follow`, and swap them into `schema`, in one transaction.

        Return False if a long read holds the old tables; nothing has changed then.
        """
        reached, begin, end = self.reached, self._begin, self._end
        limit_wait = Statement(f"SET LOCAL lock_timeout = '{self._session.limits.swap_lock_seconds}s'")
        names = [table.name for table in PROJECTION_TABLES]
        drops = [Statement(f'DROP TABLE IF EXISTS "{schema}".{name}') for name in names]
        moves = [Statement(f'ALTER TABLE {self.schema}.{name} SET SCHEMA "{schema}"') for name in names]
        head = self._session.execute([*self._session.beginning, TAKE_WRITE_LOCK, HEAD])[HEAD]
        try:
            self._session.execute([limit_wait, *drops, self._use_schema])
            self._begin = self._end = ()
            follow(cursor_of(head).position)
            self._session.execute([*moves, Statement(f"DROP SCHEMA {self.schema}"), COMMIT])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self.reached, self._begin, self._end = reached, begin, end
            return False
        return True


def rebuild(database: Database, on_progress: OnProgress, *, only_if_invalid: bool = False) -> None:
    """Rebuild the projection of `database`. One rebuild runs at a time; a second one waits.

    With `only_if_invalid`, a projection that another rebuild has made valid meanwhile is left alone.

    Raises:
        LogDamaged: a record is damaged; the old projection is unchanged.
        InconsistentHistory: the log was not written by these rules; the old projection is unchanged.
        StoreUnavailable: the database cannot be used; the old projection is unchanged.
    """
    session = Session(database, is_rebuild=True)
    try:
        with _rebuild_lock(database):
            if not (only_if_invalid and is_valid(session)):
                _rebuild(database, session, on_progress)
    except psycopg.Error as error:
        raise unavailable(database.name, error) from error
    finally:
        session.close()


def is_valid(session: Session) -> bool:
    """Return whether there is a complete projection of this version. Raises psycopg.Error."""
    is_complete, version = _inspect(session)
    return is_complete and version == fingerprint()


def require_no_other_version(session: Session, name: str) -> None:
    """Require that no projection of another version exists, because nodes of that version may use it.

    Raises:
        SchemaMismatch: a projection of another version exists.
        psycopg.Error: the database cannot be used.
    """
    _, version = _inspect(session)
    if version not in (None, fingerprint()):
        raise SchemaMismatch(
            f"The projection in the database {name} belongs to another version of Lockstream, and nodes of that "
            "version may use it. `lockstream rebuild` builds a projection of this version beside them; from then on, "
            "they accept nothing. LOCKSTREAM_AUTO_MIGRATE=true makes a start do that."
        )


def end_of_log(session: Session) -> Cursor:
    """Return the present end of the log. Raises psycopg.Error."""
    return cursor_of(session.transact(HEAD)[HEAD])


def _rebuild(database: Database, session: Session, on_progress: OnProgress) -> None:
    current_schema = Statement("SELECT current_schema()")
    [(schema,)] = session.transact(current_schema)[current_schema]
    tables, log = ShadowTables(session), PostgresLog(database)
    tables.create()

    def follow(last: int) -> None:
        catch_up(
            tables,
            log.read_through(tables.reached, last),
            lambda: on_progress(tables.reached.position, log.end.position),
        )

    def catch_up_closely() -> None:
        log.end = end_of_log(session)
        while log.end.position - tables.reached.position > FINAL_BATCH_EVENTS:
            follow(log.end.position)
            log.end = end_of_log(session)

    catch_up_closely()
    while not tables.swap_in(schema, follow):
        logger.warning(
            "A long read holds the tables of the projection. They are replaced as soon as it has ended.",
            extra={"event_name": "projection_swap_delayed"},
        )
        on_progress(tables.reached.position, log.end.position)
        time.sleep(database.limits.swap_retry_seconds)
        catch_up_closely()


def _inspect(session: Session) -> tuple[bool, str | None]:
    """Return whether all tables of a projection exist, and the version that the projection names, if any."""
    missing = Statement(_MISSING_TABLES, {"names": [table.name for table in PROJECTION_TABLES]})
    missing_names = session.transact(missing)[missing]
    if (progress.name,) in missing_names:
        return False, None
    found = session.transact(HEAD_AND_VERSION)[HEAD_AND_VERSION]
    return not missing_names, found[0][3] if found else None


@contextmanager
def _rebuild_lock(database: Database) -> Iterator[None]:
    with closing(database.connect()) as connection:
        connection.execute("BEGIN")
        connection.execute(_WAIT_FOR_HOURS)
        connection.execute(f"SELECT pg_advisory_xact_lock({REBUILD_LOCK_ID})")
        yield


def _create_tables() -> list[Statement]:
    tables = [str(CreateTable(table).compile(dialect=DIALECT)) for table in PROJECTION_TABLES]
    indexes = [index for table in PROJECTION_TABLES for index in table.indexes]
    for index in indexes:
        if (where := index.dialect_options["sqlite"]["where"]) is not None:
            index.dialect_options["postgresql"]["where"] = where
    return [Statement(text) for text in [*tables, *(str(CreateIndex(one).compile(dialect=DIALECT)) for one in indexes)]]


_DROP_SHADOW_SCHEMAS = (
    "DO $$ DECLARE left_over text; BEGIN FOR left_over IN SELECT nspname FROM pg_namespace "  # noqa: S608  # our own name
    f"WHERE starts_with(nspname::text, '{SHADOW_SCHEMA}') "
    "LOOP EXECUTE format('DROP SCHEMA %I CASCADE', left_over); END LOOP; END $$"
)
_MISSING_TABLES = "SELECT name FROM unnest(%(names)s::text[]) AS of (name) WHERE to_regclass(name) IS NULL"
_WAIT_FOR_HOURS = (
    "SELECT set_config(name, value, true) FROM (VALUES ('statement_timeout', '0'), ('lock_timeout', '0'), "
    "('idle_in_transaction_session_timeout', '0'), ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), "
    "('tcp_keepalives_count', '4')) AS of (name, value)"
)
"""A rebuild may take hours. PostgreSQL still notices if the machine of the rebuild is gone."""

_PROGRESS_COLUMNS = progress.columns.keys()
_INSERT_PROGRESS = f"INSERT INTO progress VALUES ({', '.join(f'%({name})s' for name in _PROGRESS_COLUMNS)})"  # noqa: S608
