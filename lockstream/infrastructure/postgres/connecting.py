"""Connections to PostgreSQL, and a time limit for everything that they may wait for.

Nothing here stays behind in a session: each transaction says what it needs, so PgBouncer may hand the next one to
another connection of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import QueuePool, make_url

from lockstream.core.errors import StartRefused, StoreUnavailable
from lockstream.infrastructure.postgres.patience import Connection, has_ended, is_shared
from lockstream.infrastructure.settings import SCHEMES

CONNECT_SECONDS = 5
"""For each host that is tried."""

UNANSWERED_SECONDS = 10
"""How long the other machine may stay without a sign of life, whether something was sent to it or is awaited."""

TURN_SECONDS = 10
"""How long a node waits for its turn."""

STATEMENT_SECONDS = 30
"""How long PostgreSQL may work on one statement, but for those of a rebuild."""

IDLE_SECONDS = 5
"""How long a node may think in its turn. One that was stopped there holds up the others for so long, no longer."""

ANSWER_SECONDS = TURN_SECONDS + STATEMENT_SECONDS
"""How long an answer may take. A database whose disk or standby hangs is alive, and keeps none of its own limits."""

READERS = 8
"""Connections that read at a time."""

UNKNOWN = (psycopg.OperationalError, psycopg.InterfaceError)
"""What is raised where a connection is lost, or its time is up."""


class Statement(NamedTuple):
    """One that is sent; `values` are bound by name."""

    text: str
    values: Sequence[Any] | Mapping[str, Any] = ()


DIALECT = make_url("postgresql+psycopg://").get_dialect()()
"""How SQLAlchemy words what psycopg sends."""

type Rows = list[tuple[Any, ...]]

_ALIVE = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": UNANSWERED_SECONDS * 1000,
    "keepalives_idle": UNANSWERED_SECONDS // 2,
    "keepalives_interval": 1,
    "keepalives_count": UNANSWERED_SECONDS // 2,
}


class Database:
    """Where a URL leads to: one of its hosts, where it names several."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            StartRefused: `url` is none of PostgreSQL's.
        """
        named = _parsed(url)
        several = {"target_session_attrs": "read-write"} if "," in str(named.get("host", "")) else {}
        usual = {"application_name": "lockstream", "client_encoding": "UTF8", **several, **_ALIVE}
        self._conninfo = make_conninfo(**{**usual, **named})
        self.name = f"{named.get('dbname') or named.get('user') or 'postgres'} at {named.get('host') or 'this machine'}"
        """For people; without user and password."""

        self._pool = QueuePool(
            partial(self.connect, ANSWER_SECONDS),  # type: ignore[arg-type]  # it takes whatever it is given for a connection
            pool_size=READERS,
            max_overflow=0,
            reset_on_return=None,
            use_lifo=True,
        )

    def connect(self, patience: float | None = None) -> Connection:
        """Make a connection that begins and ends its transactions where it is told to.

        Its answers may take `patience` seconds, or for ever.

        Raises:
            psycopg.OperationalError: no host can be reached, or is what was asked for.
        """
        connection = Connection.connect(self._conninfo, autocommit=True)
        connection.patience = ANSWER_SECONDS
        if is_shared(connection):
            connection.prepare_threshold = None  # what is prepared stays in a session, and that one is others', too
        connection.patience = patience
        return connection

    def connect_for_sqlalchemy(self) -> psycopg.Connection:
        """The same, for SQLAlchemy, which begins and ends transactions in its own way."""
        connection = self.connect()
        connection.autocommit = False
        return connection

    def read(self, *statements: Statement) -> list[Rows]:
        """What statements find, each at a moment that is not before that of those in front of it. For any thread.

        A lost connection is replaced once.

        Raises:
            StoreUnavailable: one cannot be executed.
        """
        for again in (True, False):
            try:
                with self._pooled() as connection:
                    return execute(connection, [BEGIN_READING, limits(), *statements, COMMIT])[2:-1]
            except UNKNOWN as error:
                if not again:
                    raise unavailable(self.name, error) from error
            except psycopg.Error as error:
                raise unavailable(self.name, error) from error
        raise AssertionError

    def close(self) -> None:
        self._pool.dispose()

    @contextmanager
    def _pooled(self) -> Iterator[psycopg.Connection]:
        pooled = self._pool.connect()
        for _ in range(READERS):  # where one was lost, those that nobody uses were, too
            if not has_ended(pooled.driver_connection):
                break
            pooled.invalidate()
            pooled.close()
            pooled = self._pool.connect()
        try:
            yield pooled.driver_connection  # type: ignore[misc]  # SQLAlchemy does not know whose pool it is
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()


BEGIN = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
BEGIN_READING = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
COMMIT = Statement("COMMIT")


def _parsed(url: str) -> dict[str, Any]:
    """The parts of a URL. What is taken for the host or the database is shown, so no piece of a password may be."""
    user, _, rest = url.partition("://")[2].partition("@")  # as libpq reads it: the first @ ends user and password
    if "/" in user:
        rest = f"{user}@{rest}"
    with suppress(psycopg.ProgrammingError):  # what it says may show the password
        if "@" not in rest.partition("?")[0]:
            return conninfo_to_dict(url.replace(*SCHEMES, 1))
    raise StartRefused(
        "DATABASE_URL is not of the form postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE. "
        "In names and in the password, characters like : / @ ? % and spaces are to be percent-encoded."
    )


def limits(statement_seconds: int = STATEMENT_SECONDS) -> Statement:
    """The time limits of one transaction; 0 is none. Its commit waits for the disk, whatever its user is given.

    All that is looked for in it is looked for by key. A plan that was made while a table was small would read all of
    it, for as long as the connection lives; so each is made once, and for indexes.
    """
    return Statement(
        "SELECT set_config('lock_timeout', %(turn)s, true), set_config('statement_timeout', %(statement)s, true), "
        "set_config('idle_in_transaction_session_timeout', %(idle)s, true), "
        "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true), "
        "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true), "
        "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), "
        "set_config('jit', 'off', true)",
        {"turn": f"{TURN_SECONDS}s", "statement": f"{statement_seconds}s", "idle": f"{IDLE_SECONDS}s"},
    )


def execute(connection: psycopg.Connection, statements: Sequence[Statement]) -> list[Rows]:
    """Send `statements` in one round trip, prepared where that can be; what each of them found.

    Raises:
        psycopg.Error: one has failed.
    """
    with connection.pipeline():
        cursors = [connection.execute(text, values or None, prepare=bool(values)) for text, values in statements]
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def unavailable(name: str, error: Exception) -> StoreUnavailable:
    """What to raise when the database could not be used."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return StoreUnavailable(
            f"The database {name} does not let Lockstream do what it must ({said}). Its user owns its tables, and may "
            "CREATE in their schema and, for a rebuild, in the database: grant that, and start again."
        )
    if isinstance(error, psycopg.errors.UndefinedTable):
        return StoreUnavailable(
            f"Lockstream's tables are not in the database {name} ({said}). See that DATABASE_URL leads to the right "
            "one; in a new one `lockstream migrate` makes them, and so does the start of a node."
        )
    return StoreUnavailable(
        f"The database {name} cannot be used now ({said}). Nothing that was acknowledged is lost. See that the "
        "database runs, and that DATABASE_URL leads to it. A node that runs tries again by itself; a start or "
        "a command does not."
    )
