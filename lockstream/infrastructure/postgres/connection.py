"""Connections to PostgreSQL: pools, retries, and a timeout for everything that a node may wait for.

No state stays behind in a session. Each transaction sets its own parameters, so PgBouncer may run the next transaction
on another session.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import QueuePool, make_url

from lockstream.core.errors import LockstreamError, StartRefused, StoreUnavailable
from lockstream.infrastructure.postgres.pipeline import AnswerTimeout, Connection, is_closed_by_peer, is_pooled
from lockstream.settings import SCHEMES

READ_CONNECTIONS = 8
"""Connections that read at a time."""

CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError)
"""Errors after a lost connection or a timeout. Whether the last transaction was committed is unknown then."""

RESOLVE_RETRY_SECONDS = 0.2
"""Pause between two attempts to find out whether an unanswered commit was kept."""

INTERNAL_ERRORS = (psycopg.DataError, psycopg.IntegrityError)
"""Errors caused by a single value, which is a bug in Lockstream."""

TIMED_OUT = (AnswerTimeout, psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)
"""Errors of a statement that exceeded its time limit: a second attempt would take as long again."""

CLOSED_BEFORE = (None, "57P01", "57P02", "25P03")
"""SQLSTATEs which mean that the connection was closed before the statement was sent: the driver's own error,
admin_shutdown, crash_shutdown, idle_in_transaction_session_timeout."""

DIALECT = make_url("postgresql+psycopg://").get_dialect()()
"""SQLAlchemy's dialect, for statements that psycopg executes."""

type DatabaseRows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Longest times that a node waits for its database. Only tests use other limits than the defaults."""

    connect_seconds: int = 5
    """For a connection to each host that is tried."""

    silence_seconds: int = 10
    """For any packet from the database's machine. Without one, the connection counts as lost."""

    write_lock_seconds: float = 10
    """For the write lock."""

    statement_seconds: float = 30
    """For one statement, except those of a rebuild."""

    idle_seconds: float = 5
    """For a node that pauses while it holds the write lock. It then loses the lock, so that the others go on."""

    resolve_seconds: float = 15
    """For finding out whether an unanswered commit was kept. The clients wait meanwhile."""

    swap_lock_seconds: float = 1
    """For locking the old tables at the end of a rebuild, while all nodes wait. A dump may hold them for longer."""

    swap_retry_seconds: float = 5
    """For the nodes to go on before a rebuild tries again to lock the old tables."""

    @property
    def answer_seconds(self) -> float:
        """For one answer. Unlike PostgreSQL's own limits, it also holds if the database's disk or standby hangs."""
        return self.write_lock_seconds + self.statement_seconds


DEFAULT_LIMITS = TimeLimits()


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """A statement and its parameters. Statements are compared by identity, so results are found by statement."""

    text: str
    values: Sequence[Any] | Mapping[str, Any] = ()


type Results = Mapping[Statement, DatabaseRows]
"""Rows that each statement of a round trip has returned."""

BEGIN = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
BEGIN_READING = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
COMMIT = Statement("COMMIT")


def transaction_settings(limits: TimeLimits, *, limit_statements: bool = True) -> Statement:
    """Return a statement that sets the time limits of one transaction.

    The commit waits for the disk, even if the database user's default is not to wait. All lookups are by key. A plan
    made while a table was small would read the whole table for as long as the connection lives, so plans are generic
    and use indexes.
    """
    return Statement(
        "SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(statement)s, true), "
        "set_config('idle_in_transaction_session_timeout', %(idle)s, true), "
        "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true), "
        "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true), "
        "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), "
        "set_config('jit', 'off', true)",
        {
            "lock": f"{limits.write_lock_seconds}s",
            "statement": f"{limits.statement_seconds if limit_statements else 0}s",
            "idle": f"{limits.idle_seconds}s",
        },
    )


def execute(connection: psycopg.Connection, statements: Sequence[Statement]) -> Results:
    """Send `statements` in one round trip, prepared if they have parameters.

    Raises:
        psycopg.Error: a statement has failed.
    """
    if isinstance(connection, Connection) and connection.on_round_trip:
        connection.on_round_trip()
    with connection.pipeline():
        cursors = [
            connection.execute(statement.text, statement.values or None, prepare=bool(statement.values))
            for statement in statements
        ]
    found = (cursor.fetchall() if cursor.description else [] for cursor in cursors)
    return dict(zip(statements, found, strict=True))


@contextmanager
def errors_as_unavailable(name: str) -> Iterator[None]:
    """Raise errors of the database `name` as StoreUnavailable, except those that only a bug can cause."""
    try:
        yield
    except INTERNAL_ERRORS:
        raise
    except psycopg.Error as error:
        raise unavailable(name, error) from error


def unavailable(name: str, error: Exception) -> StoreUnavailable:
    """Return the exception to raise if the database `name` cannot be used."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return StoreUnavailable(
            f"The database {name} denies Lockstream a permission that it needs ({said}). Its user must own its tables, "
            "and may need CREATE in their schema and, for a rebuild, in the database: grant that, and start again."
        )
    if isinstance(error, psycopg.errors.UndefinedTable):
        return StoreUnavailable(
            f"Lockstream's tables are not in the database {name} ({said}). Check that DATABASE_URL leads to the right "
            "database; in a new one, `lockstream migrate` or the start of a node creates them."
        )
    return StoreUnavailable(
        f"The database {name} cannot be used now ({said}). Nothing that was acknowledged is lost. Check that the "
        "database runs, and that DATABASE_URL leads to it. A running node tries again by itself; a start or a command "
        "does not."
    )


class ConnectionCounts:
    """Counts of the use of one database. For any thread."""

    def __init__(self) -> None:
        self.connections = self.round_trips = 0
        self._lock = Lock()

    def note_connection(self) -> None:
        with self._lock:
            self.connections += 1

    def note_round_trip(self) -> None:
        with self._lock:
            self.round_trips += 1


class Database:
    """The database that a URL names: the first writable host, if the URL names several."""

    def __init__(self, url: str, limits: TimeLimits = DEFAULT_LIMITS) -> None:
        """Parse `url`. No connection is made yet.

        Raises:
            StartRefused: `url` does not have the form of a PostgreSQL URL.
        """
        parts = _parsed(url)
        several = {"target_session_attrs": "read-write"} if "," in str(parts.get("host", "")) else {}
        defaults = {"application_name": "lockstream", "client_encoding": "UTF8", **several, **_network_limits(limits)}
        self._conninfo = make_conninfo(**{**defaults, **parts})
        self.name = f"{parts.get('dbname') or parts.get('user') or 'postgres'} at {parts.get('host') or 'this machine'}"
        """Database and host, for messages; without user and password."""

        self.limits = limits
        self.counts = ConnectionCounts()
        self._pool = QueuePool(
            partial(self.connect, limits.answer_seconds),  # type: ignore[arg-type]  # it accepts any object as a connection
            pool_size=READ_CONNECTIONS,
            max_overflow=0,
            reset_on_return=None,
            use_lifo=True,
        )

    def connect(self, timeout_seconds: float | None = None) -> Connection:
        """Return a connection in autocommit mode: explicit statements begin and end transactions.

        Each answer may take `timeout_seconds`; None means no limit.

        Raises:
            psycopg.OperationalError: no host can be reached, or none fits the URL.
        """
        connection = Connection.connect(self._conninfo, autocommit=True)
        connection.timeout_seconds = self.limits.answer_seconds
        if is_pooled(connection):
            connection.prepare_threshold = None  # a prepared statement would stay in a session that others share
        connection.timeout_seconds = timeout_seconds
        connection.on_round_trip = self.counts.note_round_trip
        self.counts.note_connection()
        return connection

    def read(self, *statements: Statement) -> Results:
        """Execute statements that only read. For any thread.

        Each statement sees the database at the moment of the statement before it, or later. A lost connection is
        replaced once. A statement that timed out is not repeated.

        Raises:
            StoreUnavailable: a statement cannot be executed.
        """
        whole = [BEGIN_READING, transaction_settings(self.limits), *statements, COMMIT]
        return self._retry_if_lost(lambda connection: execute(connection, whole))

    def read_transaction[ValueT](
        self, beginning: Sequence[Statement], read: Callable[[Results, Callable[[Statement], DatabaseRows]], ValueT]
    ) -> ValueT:
        """Begin a transaction with these statements, and return what `read` returns. For any thread.

        `read` is called with the results of `beginning`, and with a function that executes one more statement. After a
        lost connection, the whole transaction is repeated once.

        Raises:
            StoreUnavailable: a statement cannot be executed.
        """

        def transact(connection: psycopg.Connection) -> ValueT:
            value = read(execute(connection, beginning), lambda statement: execute(connection, [statement])[statement])
            execute(connection, [COMMIT])
            return value

        return self._retry_if_lost(transact)

    def close(self) -> None:
        self._pool.dispose()

    def _retry_if_lost[ValueT](self, read: Callable[[psycopg.Connection], ValueT]) -> ValueT:
        try:
            try:
                with self._pooled() as connection:
                    return read(connection)
            except TIMED_OUT:
                raise
            except CONNECTION_LOST:
                with self._pooled() as connection:
                    return read(connection)
        except psycopg.Error as error:
            raise unavailable(self.name, error) from error

    @contextmanager
    def _pooled(self) -> Iterator[psycopg.Connection]:
        pooled = self._pool.connect()
        for _ in range(READ_CONNECTIONS):  # if one idle connection was lost, so were the others
            if not is_closed_by_peer(pooled.driver_connection):
                break
            pooled.invalidate()
            pooled.close()
            pooled = self._pool.connect()
        try:
            yield pooled.driver_connection  # type: ignore[misc]  # SQLAlchemy does not know the driver's class
        except LockstreamError:  # the read was refused, for example because it would sort too many rows
            try:
                execute(pooled.driver_connection, [COMMIT])  # type: ignore[arg-type]
            except psycopg.Error:
                pooled.invalidate()
            raise
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()


class Session:
    """A connection that is opened when it is needed, and opened again after it was lost. For one thread."""

    def __init__(self, database: Database, *, is_rebuild: bool = False) -> None:
        """Each round trip must be answered within the time limit, except those of a rebuild.

        A rebuild also prepares no statement. After a DROP, psycopg forgets all prepared statements, and in a pipeline
        also some that it prepares next.
        """
        self.limits = database.limits
        self.beginning = [BEGIN, transaction_settings(self.limits, limit_statements=not is_rebuild)]
        """The statements that begin a transaction and set its time limits."""

        self._database = database
        self._is_rebuild = is_rebuild
        self._connection: psycopg.Connection | None = None
        self.warnings: list[str] = []
        """Warnings of the last round trip."""

    def execute(self, statements: Iterable[Statement]) -> Results:
        """Send `statements` in one round trip. If one fails, those after it are not executed.

        Raises:
            psycopg.Error: a statement has failed; the transaction is rolled back, as far as can be known.
        """
        self.warnings.clear()
        if self._connection is None:
            self._connection = self._database.connect(None if self._is_rebuild else self.limits.answer_seconds)
            self._connection.add_notice_handler(self._note_warning)
            if self._is_rebuild:
                self._connection.prepare_threshold = None
        try:
            return execute(self._connection, list(statements))
        except BaseException:
            self.close()  # rolls back, and the state of the connection is unknown
            raise

    def transact(self, *statements: Statement) -> Results:
        """Execute `statements` in a transaction of their own. Raises psycopg.Error, as `execute` does."""
        return self.execute([*self.beginning, *statements, COMMIT])

    def begin(self, statements: Sequence[Statement]) -> Results:
        """Execute statements that change nothing, and repeat them on a new connection if the old one was closed before.

        Raises:
            psycopg.Error: a statement has failed.
        """
        try:
            return self.execute(statements)
        except CONNECTION_LOST as error:
            if error.sqlstate not in CLOSED_BEFORE:
                raise
            return self.execute(statements)

    def end_transaction(self) -> None:
        """End an open transaction in which nothing was written."""
        if self._connection and self._connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self.execute([COMMIT])  # after a ROLLBACK, psycopg would forget its prepared statements

    def roll_back(self) -> None:
        """Roll back a transaction that an error has left open, by closing the connection."""
        if self._connection and self._connection.info.transaction_status != TransactionStatus.IDLE:
            self.close()

    def close_if_lost(self) -> None:
        """Close a connection that the server has closed while it was idle. The next statement opens another one."""
        if self._connection and is_closed_by_peer(self._connection):
            self.close()

    def close(self) -> None:
        if self._connection:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _note_warning(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(notice.message_primary or "")


def _network_limits(limits: TimeLimits) -> dict[str, int]:
    """Return the options of libpq that set the time limits of the network."""
    return {
        "connect_timeout": limits.connect_seconds,
        "tcp_user_timeout": limits.silence_seconds * 1000,
        "keepalives_idle": limits.silence_seconds // 2,
        "keepalives_interval": 1,
        "keepalives_count": limits.silence_seconds // 2,
    }


def _parsed(url: str) -> dict[str, Any]:
    """Return the parts of a URL. Host and database appear in messages, so no piece of a password may be in them."""
    user, _, rest = url.partition("://")[2].partition("@")  # as libpq does: the first @ ends user and password
    if "/" in user:
        rest = f"{user}@{rest}"
    with suppress(psycopg.ProgrammingError):  # its text may contain the password
        if "@" not in rest.partition("?")[0]:
            return conninfo_to_dict(url.replace(*SCHEMES, 1))
    raise StartRefused(
        "DATABASE_URL does not have the form postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE. "
        "Percent-encode characters such as : / @ ? % and spaces in names and in the password."
    )
