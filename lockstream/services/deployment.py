"""Deployments: a log in a file or in a database, and all operations on it. The one choice of engine.

Modules that load SQLAlchemy, NumPy or psycopg are imported inside functions, because loading takes a third of a second.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lockstream.core.entities.log import START, Record
from lockstream.core.entities.quarantine import QuarantineLimits
from lockstream.core.entities.silence import SilenceLimits
from lockstream.core.errors import LogMissing, StartRefused
from lockstream.core.key_store import AuditLimits, KeyStore
from lockstream.core.ports import Listings, OnProgress, ReadResult, Store, ignore_progress
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.infrastructure.file_log.reader import last_position, read_log
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.fs import is_missing
from lockstream.services.commands.copy_log import import_log
from lockstream.services.commands.import_events import ImportCounts, import_events
from lockstream.services.running.access.access import Access
from lockstream.services.running.access.exposure import require_safe_address
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.traces.tracing import open_tracing
from lockstream.settings import Auth, Settings

if TYPE_CHECKING:
    from lockstream.infrastructure.stores.embedded import EmbeddedStore
    from lockstream.services.commands.verify import Verification
    from lockstream.services.running.telemetry.traces.spans import Tracing

PROGRESS_RECORDS = 1_000
"""Records between two calls of a progress callback."""


class Deployment(Protocol):
    """A log and its projection. Each method raises LockstreamError or OSError, whose text names the next step."""

    @property
    def silence_limits(self) -> SilenceLimits:
        """Times of silence, from the settings."""

    def open_store(self, on_progress: OnProgress = ignore_progress) -> Store:
        """Open the store, and bring its projection up to its log."""

    def start(self, on_progress: OnProgress = ignore_progress) -> Lockstream:
        """Start the system that serves requests."""

    @property
    def missing_log(self) -> Path | None:
        """The absolute path of the log file if there is no such file, else None."""

    def key_store(self) -> KeyStore:
        """Return the store of API keys and audit entries, to be closed. A server may run meanwhile."""

    def records(self, on_progress: OnProgress = ignore_progress) -> Iterator[Record]:
        """Yield each record of the log. Takes no lock."""

    def verify(self, on_progress: OnProgress) -> "Verification":
        """Verify the log, and compare the projection with a fresh replay."""

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        """Execute the query of a list on the projection, which may be a second behind the log. Takes no lock."""

    def rebuild(self, on_progress: OnProgress) -> None:
        """Rebuild the projection from the log."""

    def import_events(self, source: Path, report: Path, on_progress: OnProgress) -> ImportCounts:
        """Decide the events in the file `source`, write refused ones to `report`, and return the counts by outcome."""

    def import_log(self, source: Path, on_progress: OnProgress) -> int:
        """Import a full export, bring the projection up to it, and return the number of new records."""

    def migrate(self) -> tuple[int, int]:
        """Upgrade the tables to the schema version of this Lockstream; return the versions before and after."""

    def log_file(self, remedy: str) -> Path:
        """Return the path of the log file.

        Raises:
            StartRefused: the log is in a database. The text ends with the sentence `remedy`.
            LogMissing: there is no such file.
        """


def deployment_of(settings: Settings) -> Deployment:
    """Return the deployment that the settings name.

    Raises:
        StartRefused: the settings contradict each other.
    """
    if settings.database_url is None:
        if settings.read_url:
            raise StartRefused(
                "LOCKSTREAM_READ_URL names a read replica, but DATABASE_URL names no database. Set both or neither."
            )
        return FileDeployment(settings)
    from lockstream.services.database_deployment import DatabaseDeployment  # noqa: PLC0415

    return DatabaseDeployment(settings, settings.database_url.get_secret_value())


def quarantine_limits(settings: Settings) -> QuarantineLimits | None:
    """Return the bounds of the quarantine, or None if the settings turn it off."""
    if not settings.quarantine:
        return None
    return QuarantineLimits(settings.quarantine_entries, settings.quarantine_bytes, settings.quarantine_days)


def audit_limits(settings: Settings) -> AuditLimits:
    """Return the bounds of the audit log."""
    return AuditLimits(settings.audit_bytes, settings.min_free_bytes)


def silence_limits(settings: Settings) -> SilenceLimits:
    """Return the times of silence."""
    return SilenceLimits.of(settings.silent_minutes, settings.gone_days)


def open_access(settings: Settings, store: KeyStore) -> Access:
    """Return the check of the keys in `store`. Closing the check closes the store.

    Raises:
        KeysRequired: there is no key, and the settings name an address that other machines can reach.
        KeysDamaged, KeysMissing: the keys cannot be trusted.
        StoreUnavailable: the keys cannot be read.
    """
    try:
        access = Access(store, is_enforced=settings.auth is Auth.ON)
    except BaseException:
        store.close()
        raise
    try:
        require_safe_address(settings, access)
    except BaseException:
        access.close()
        raise
    return access


@contextmanager
def closing_on_failure(tracing: "Tracing | None") -> "Iterator[Tracing | None]":
    """Context manager that yields `tracing`, and closes it if the block fails."""
    try:
        yield tracing
    except BaseException:
        if tracing:
            tracing.close()
        raise


def with_progress(records: Iterable[Record], total: int, on_progress: OnProgress) -> Iterator[Record]:
    """Yield `records`, and call `on_progress` every `PROGRESS_RECORDS` records."""
    for record in records:
        if record.end.position % PROGRESS_RECORDS == 0:
            on_progress(record.end.position, total)
        yield record


class FileDeployment:
    """Implements `Deployment` over a log file, on one machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = settings.event_log_path
        self.silence_limits = silence_limits(settings)

    def open_store(self, on_progress: OnProgress = ignore_progress) -> "EmbeddedStore":
        from lockstream.infrastructure.stores.embedded import EmbeddedStore  # noqa: PLC0415

        settings = self._settings
        return EmbeddedStore(self._log, settings.row_cache_rows, on_progress, settings.min_free_bytes)

    def start(self, on_progress: OnProgress = ignore_progress) -> Lockstream:
        with closing_on_failure(open_tracing(self._settings)) as tracing:
            return self._start(on_progress, tracing)

    def _start(self, on_progress: OnProgress, tracing: "Tracing | None") -> Lockstream:
        from lockstream.infrastructure.quarantine.store import open_quarantine  # noqa: PLC0415
        from lockstream.services.running.embedded_engine import EmbeddedEngine  # noqa: PLC0415

        settings, access = self._settings, open_access(self._settings, self.key_store())
        try:
            store = self.open_store(on_progress)
        except BaseException:
            access.close()
            raise
        try:
            limits = quarantine_limits(settings)
            quarantine = None
            if limits:
                free = settings.min_free_bytes
                quarantine = open_quarantine(self._log, limits, store.accepted_among, free)
            engine = EmbeddedEngine(store, settings.batch_limit, tracing)
            return Lockstream(store, engine, settings, quarantine, access, tracing)
        except BaseException:
            access.close()
            store.close()
            raise

    @property
    def missing_log(self) -> Path | None:
        return self._log.absolute() if is_missing(self._log) else None

    def key_store(self) -> FileKeyStore:
        return FileKeyStore(self._log, audit_limits(self._settings))

    def records(self, on_progress: OnProgress = ignore_progress) -> Iterator[Record]:
        log = self._existing_log()
        return with_progress(read_log(log, START), last_position(log), on_progress)

    def verify(self, on_progress: OnProgress) -> "Verification":
        from lockstream.services.commands.verify import verify_file  # noqa: PLC0415
        from lockstream.services.commands.verify_access import verify_access  # noqa: PLC0415
        from lockstream.services.commands.verify_quarantine import verify_quarantine  # noqa: PLC0415

        log = self._existing_log()
        found = verify_file(log, on_progress)
        verify_quarantine(log, found)
        verify_access(log, found)
        return found

    def list[ValueT](self, query: Callable[[Listings], ValueT]) -> ReadResult[ValueT]:
        from lockstream.services.commands.list_rows import list_rows  # noqa: PLC0415

        return list_rows(self._existing_log(), query)

    def rebuild(self, on_progress: OnProgress) -> None:
        from lockstream.infrastructure.stores.embedded import rebuild  # noqa: PLC0415

        rebuild(self._existing_log(), self._settings.row_cache_rows, on_progress)

    def import_events(self, source: Path, report: Path, on_progress: OnProgress) -> ImportCounts:
        source.stat()  # raises an error for a missing file before a log is created
        with closing(self.open_store()) as store:
            counts = import_events(store, source, report, on_progress, store.checkpoint_if_full)
            store.checkpoint()
        return counts

    def import_log(self, source: Path, on_progress: OnProgress) -> int:
        source.stat()
        with closing(LogWriter(self._log)) as log:
            imported = import_log(log, source, on_progress)
        self.open_store(on_progress).close()
        return imported

    def migrate(self) -> tuple[int, int]:
        raise StartRefused("There is no database to migrate. Set DATABASE_URL; a log file needs no migration.")

    def log_file(self, remedy: str) -> Path:
        return self._existing_log()

    def _existing_log(self) -> Path:
        """Return the path of the log file. Raises LogMissing."""
        if missing := self.missing_log:
            raise LogMissing(missing)
        return self._log
