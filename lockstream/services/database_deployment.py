"""A log in a PostgreSQL database, which any number of nodes share."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lockstream.core.entities.log import START, Record
from lockstream.core.errors import KeysDamaged, KeysMissing, StartRefused, StoreUnavailable
from lockstream.core.ports import Listings, OnProgress, ReadResult, ignore_progress
from lockstream.infrastructure.postgres.access.store import PostgresKeyStore
from lockstream.infrastructure.postgres.connection import DEFAULT_LIMITS, Database, TimeLimits
from lockstream.infrastructure.postgres.listings import PostgresListings
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.log_import import LogImport
from lockstream.infrastructure.postgres.migrate import migrate, require_current
from lockstream.infrastructure.postgres.shadow_tables import rebuild
from lockstream.infrastructure.postgres.statements import HEAD, cursor_of
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.commands.copy_log import import_log
from lockstream.services.commands.import_events import ImportCounts, import_events
from lockstream.services.commands.verify import Verification
from lockstream.services.commands.verify_database import verify_database
from lockstream.services.deployment import (
    audit_limits,
    closing_on_failure,
    open_access,
    quarantine_limits,
    silence_limits,
    with_progress,
)
from lockstream.services.running.database_engine import DatabaseEngine
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.traces.tracing import open_tracing
from lockstream.settings import Settings

if TYPE_CHECKING:
    from lockstream.services.running.telemetry.traces.spans import Tracing


class DatabaseDeployment:
    """Implements `deployment.Deployment` over a PostgreSQL database."""

    missing_log = None
    """A log in a database has no file that could be missing."""

    limits: ClassVar[TimeLimits] = DEFAULT_LIMITS
    """Timeouts of the database. Tests of whole processes shorten them."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._url = url
        self.silence_limits = silence_limits(settings)

    def open_store(self, on_progress: OnProgress = ignore_progress) -> PostgresStore:
        settings = self._settings
        read_url = settings.read_url.get_secret_value() if settings.read_url else None
        return PostgresStore(self._url, on_progress, settings.auto_migrate, read_url, self.limits)

    def start(self, on_progress: OnProgress = ignore_progress) -> Lockstream:
        with closing_on_failure(open_tracing(self._settings)) as tracing:
            return self._start(on_progress, tracing)

    def _start(self, on_progress: OnProgress, tracing: "Tracing | None") -> Lockstream:
        store, limits = self.open_store(on_progress), quarantine_limits(self._settings)
        try:
            access = open_access(self._settings, self._new_key_store(self._database()))
        except BaseException:
            store.close()
            raise
        quarantine = store.quarantine(limits) if limits else None
        return Lockstream(store, DatabaseEngine(store, tracing), self._settings, quarantine, access, tracing)

    def key_store(self) -> PostgresKeyStore:
        database = self._database()
        try:
            if self._settings.auto_migrate is False:
                require_current(database)
            else:  # the first key may be created before the first start
                migrate(database, only_if_empty=not self._settings.auto_migrate)
        except BaseException:
            database.close()
            raise
        return self._new_key_store(database)

    def records(self, on_progress: OnProgress = ignore_progress) -> Iterator[Record]:
        with closing(self._database()) as database:
            total = cursor_of(database.read(HEAD)[HEAD]).position
            yield from with_progress(PostgresLog(database).read(START), total, on_progress)

    def verify(self, on_progress: OnProgress) -> Verification:
        with closing(self._database()) as database:
            found = verify_database(database, on_progress)
            try:
                self._new_key_store(database).keys()
            except (KeysDamaged, KeysMissing, StoreUnavailable) as error:
                found.problems.append(str(error))
            return found

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        with closing(self._database()) as database:
            return PostgresListings(database).list(query)

    def rebuild(self, on_progress: OnProgress) -> None:
        with closing(self._database()) as database:
            rebuild(database, on_progress)

    def import_events(self, source: Path, report: Path, on_progress: OnProgress) -> ImportCounts:
        source.stat()
        with closing(self.open_store()) as store:
            return import_events(store, source, report, on_progress)

    def import_log(self, source: Path, on_progress: OnProgress) -> int:
        source.stat()
        with closing(self._database()) as database:
            migrate(database, only_if_empty=True)
            with closing(LogImport(database)) as log:
                imported = import_log(log, source, on_progress)
            rebuild(database, on_progress)
        return imported

    def migrate(self) -> tuple[int, int]:
        with closing(self._database()) as database:
            return migrate(database)

    def log_file(self, remedy: str) -> Path:
        raise StartRefused(f"The log is in a database, as DATABASE_URL says. {remedy}")

    def _new_key_store(self, database: Database) -> PostgresKeyStore:
        return PostgresKeyStore(database, audit_limits(self._settings))

    def _database(self) -> Database:
        return Database(self._url, self.limits)
