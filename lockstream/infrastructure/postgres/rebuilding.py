"""The projection made anew from the log, beside the nodes that use the old one.

The new tables are in a schema of their own until they have nearly reached the end of the log; then they are brought up
to it and take the place of the old ones, in one transaction, in a turn like any other.
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
from lockstream.core.entities.log import START, Cursor
from lockstream.core.errors import WrongSchema
from lockstream.core.keys import Keys
from lockstream.core.use_cases.catch_up import catch_up
from lockstream.infrastructure.held_rows import HeldRows, Shelf
from lockstream.infrastructure.postgres.comparing import differing_lockers
from lockstream.infrastructure.postgres.connecting import (
    BEGIN,
    COMMIT,
    DIALECT,
    Database,
    Statement,
    limits,
    unavailable,
)
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.rows import Wanted, upserts
from lockstream.infrastructure.postgres.schema import HEAD, REBUILDING, TAKE_TURN, WHERE, cursor_of, progress_to
from lockstream.infrastructure.postgres.session import Session
from lockstream.infrastructure.tables import KEPT_APART, fingerprint, progress
from lockstream.infrastructure.watching import Watch

BESIDE = "lockstream_rebuilding"
"""What the name of the schema of the tables that are being made begins with."""

FEW = 5_000
"""Events that may be left for the turn in which the tables change places: half a second's."""

SWITCH_MILLISECONDS = 1_000
"""How long everybody waits until those who read the old tables have finished; one who copies them takes longer."""

SWITCH_AGAIN_SECONDS = 5.0
"""How long nodes go on before that is tried again."""

logger = logging.getLogger(__name__)


class TablesBeside:
    """The new tables, as a projection that follows the log. Each chunk is a transaction, unless it is part of one.

    Their schema bears a name that no other rebuild has: one that has lost its right to be alone fails.
    """

    def __init__(self, session: Session) -> None:
        self.schema = f"{BESIDE}_{uuid4().hex}"
        self.reached = START
        self._go_beside = Statement(f"SET LOCAL search_path TO {self.schema}")
        self._begin: Sequence[Statement] = [BEGIN, limits(0), self._go_beside]
        self._end: Sequence[Statement] = [COMMIT]
        self._session = session
        self._rows = HeldRows(Shelf)
        self.load, self.save = self._rows.load, self._rows.save

    def make(self) -> None:
        """Make them, in the place of what another rebuild may have left."""
        values = dict(zip(_PROGRESS, (fingerprint(), *astuple(START), 0, 0), strict=True))
        self._session.execute(
            [
                BEGIN,
                limits(0),
                TAKE_TURN,
                Statement(_DROP_THOSE_BESIDE),
                Statement(f"CREATE SCHEMA {self.schema}"),
                self._go_beside,
                *_creations(),
                Statement(_NO_PROGRESS, values),
                COMMIT,
            ]
        )

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        seen = Wanted(wanted)
        self._rows = seen.held(self._session.execute([*self._begin, *seen.lookups()])[len(self._begin) :])
        self.load, self.save = self._rows.load, self._rows.save

    def record(self, event_ids: Sequence[str], first: int) -> None:
        return  # the log's own table knows them

    def advance(self, to: Cursor) -> None:
        self._session.execute([*upserts(self._rows), progress_to(to), *self._end])
        self.reached = to

    def replace(self, schema: str, follow: Callable[[int], object]) -> bool:
        """Put them in the place of the tables in `schema`, when `follow` has brought them up to the log, in one turn.

        Returns whether that could be done: not while somebody reads the old tables for a long time.
        """
        reached, apart = self.reached, (self._begin, self._end)
        impatient = Statement(f"SET LOCAL lock_timeout = {SWITCH_MILLISECONDS}")
        drops = [Statement(f'DROP TABLE IF EXISTS "{schema}".{table.name}') for table in KEPT_APART]
        moves = [Statement(f'ALTER TABLE {self.schema}.{table.name} SET SCHEMA "{schema}"') for table in KEPT_APART]
        last = cursor_of(self._session.execute([BEGIN, limits(0), TAKE_TURN, HEAD])[3]).position
        try:
            self._session.execute([impatient, *drops, self._go_beside])
            self._begin = self._end = ()
            follow(last)
            self._session.execute([*moves, Statement(f"DROP SCHEMA {self.schema}"), COMMIT])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self.reached, (self._begin, self._end) = reached, apart
            return False
        return True


def rebuild(database: Database, watch: Watch, *, only_if_unfit: bool = False) -> int | None:
    """Make the projection anew, one at a time.

    Returns how many lockers had another state hash before, or None if that cannot be said. With `only_if_unfit`, one
    that somebody else has made meanwhile is left as it is.

    Raises:
        LogDamaged: a record is not what was written; the old projection is as it was.
        HistoryImpossible: the log was not written by these rules; the same holds.
        StoreUnavailable: the database cannot be used; the same holds.
    """
    session = Session(database, patience=None, drops=True)
    try:
        with _alone(database):
            return None if only_if_unfit and is_fit(session) else _rebuild(database, session, watch)
    except psycopg.Error as error:
        raise unavailable(database.name, error) from error
    finally:
        session.close()


def _rebuild(database: Database, session: Session, watch: Watch) -> int | None:
    [*_, [(schema,)], _] = session.execute([BEGIN, Statement("SELECT current_schema()"), COMMIT])
    tables, log = TablesBeside(session), PostgresLog(database)
    tables.make()

    def follow(last: int) -> None:
        catch_up(tables, log.read_until(tables.reached, last), lambda reached: watch(reached, log.end))

    def come_near() -> None:
        log.end = end_of(session)
        while log.end.position - tables.reached.position > FEW:
            follow(log.end.position)
            log.end = end_of(session)

    come_near()
    differing = differing_lockers(database, tables.schema, follow)
    come_near()
    while not tables.replace(schema, follow):
        logger.warning("Somebody reads the tables of the projection for a long time. They are replaced afterwards.")
        watch(tables.reached, log.end)
        time.sleep(SWITCH_AGAIN_SECONDS)
        come_near()
    return differing


def is_fit(session: Session) -> bool:
    """Whether there is a whole projection of this version."""
    whole, version = _look(session)
    return whole and version == fingerprint()


def require_no_other_version(session: Session, name: str) -> None:
    """Leave a projection alone that nodes of another version may be at work with.

    Raises:
        WrongSchema: there is one.
    """
    _, version = _look(session)
    if version not in (None, fingerprint()):
        raise WrongSchema(
            f"The projection in the database {name} is of another version of Lockstream, and nodes of that version may "
            "be at work with it. `lockstream rebuild` makes it this version's, beside them; from then on they take "
            "nothing in. LOCKSTREAM_AUTO_MIGRATE=true has a start do that."
        )


def _look(session: Session) -> tuple[bool, str | None]:
    """Whether all tables of a projection are there, and which version's it is, if any."""
    names = [table.name for table in KEPT_APART]
    missing = session.execute([BEGIN, limits(), Statement(_MISSING, {"names": names}), COMMIT])[2]
    if (progress.name,) in missing:
        return False, None
    where = session.execute([BEGIN, limits(), WHERE, COMMIT])[2]
    return not missing, where[0][3] if where else None


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Be the only one who rebuilds: who comes later waits."""
    with closing(database.connect()) as connection:
        connection.execute("BEGIN")
        connection.execute(_WAIT_LONG)
        connection.execute(f"SELECT pg_advisory_xact_lock({REBUILDING})")
        yield


def end_of(session: Session) -> Cursor:
    """Where the log ends now."""
    return cursor_of(session.execute([BEGIN, limits(), HEAD, COMMIT])[2])


def _creations() -> list[Statement]:
    texts = [str(CreateTable(table).compile(dialect=DIALECT)) for table in KEPT_APART]
    indexes = [index for table in KEPT_APART for index in table.indexes]
    return [Statement(text) for text in [*texts, *(str(CreateIndex(one).compile(dialect=DIALECT)) for one in indexes)]]


_DROP_THOSE_BESIDE = (
    "DO $$ DECLARE left_over text; BEGIN FOR left_over IN SELECT nspname FROM pg_namespace "  # noqa: S608  # a name of our own
    f"WHERE starts_with(nspname::text, '{BESIDE}') "
    "LOOP EXECUTE format('DROP SCHEMA %I CASCADE', left_over); END LOOP; END $$"
)
_MISSING = "SELECT name FROM unnest(%(names)s::text[]) AS of (name) WHERE to_regclass(name) IS NULL"
_WAIT_LONG = (
    "SELECT set_config(name, value, true) FROM (VALUES ('statement_timeout', '0'), ('lock_timeout', '0'), "
    "('idle_in_transaction_session_timeout', '0'), ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), "
    "('tcp_keepalives_count', '4')) AS of (name, value)"
)
"""Whoever rebuilds may take hours; PostgreSQL notices, though, where its machine has gone away."""

_PROGRESS = progress.columns.keys()
_NO_PROGRESS = f"INSERT INTO progress VALUES ({', '.join(f'%({name})s' for name in _PROGRESS)})"  # noqa: S608
