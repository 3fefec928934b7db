"""From settings to a running system: the one place that chooses an engine."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lockstream.core.entities.log import START, Record
from lockstream.core.errors import StartRefused
from lockstream.core.repositories import Store
from lockstream.infrastructure.embedded import EmbeddedStore, rebuild
from lockstream.infrastructure.jsonl_event_log import JsonlEventLog
from lockstream.infrastructure.log_file import read_log
from lockstream.infrastructure.postgres.adopting import AdoptingTables
from lockstream.infrastructure.postgres.connecting import Database
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.migrating import migrate
from lockstream.infrastructure.postgres.rebuilding import rebuild as rebuild_tables
from lockstream.infrastructure.postgres.store import PostgresStore
from lockstream.infrastructure.settings import Settings, environment_names
from lockstream.infrastructure.unknown_settings import unknown_settings
from lockstream.infrastructure.watching import Watch, unwatched
from lockstream.services.lockstream import Lockstream
from lockstream.services.moving import adopt_records

__all__ = [
    "Settings",
    "Watch",
    "adopt_log",
    "environment_names",
    "log_file",
    "migrate_database",
    "open_lockstream",
    "open_store",
    "read_records",
    "rebuild_projection",
    "unknown_settings",
]


def open_store(settings: Settings, watch: Watch = unwatched) -> Store:
    """Open the store that `settings` name, its projection brought up to its log.

    Raises:
        StartRefused: another process has the log, or it is damaged, or cannot be there.
        HistoryImpossible: the log was not written by these rules.
        StoreUnavailable: the projection cannot be written, or the database not be used.
    """
    if settings.database_url:
        read_url = settings.read_url.get_secret_value() if settings.read_url else None
        return PostgresStore(settings.database_url.get_secret_value(), watch, settings.auto_migrate, read_url)
    if settings.read_url:
        raise StartRefused("LOCKSTREAM_READ_URL is for a log in a database, and DATABASE_URL names none.")
    return EmbeddedStore(settings.event_log_path, settings.working_set_rows, watch, settings.disk_floor_bytes)


def open_lockstream(settings: Settings, watch: Watch = unwatched) -> Lockstream:
    """Start the system that `settings` describe.

    Raises:
        StartRefused: another process has the log, or it is damaged, or cannot be there.
        HistoryImpossible: the log was not written by these rules.
        StoreUnavailable: the projection cannot be written, or the database not be used.
    """
    return Lockstream(open_store(settings, watch), settings)


def read_records(settings: Settings) -> Iterator[Record]:
    """Each record of the log that `settings` name, from the first on. Takes no lock.

    Raises:
        LogDamaged: a record is not what was written.
        StoreUnavailable: the database cannot be used.
        OSError: the log cannot be read.
    """
    if database := database_of(settings):
        with closing(database):
            yield from PostgresLog(database).read(START)
    else:
        yield from read_log(settings.event_log_path)


def migrate_database(settings: Settings) -> tuple[str | None, str]:
    """Bring the tables of the log to the form of this version; returns the form before, if any, and after.

    Raises:
        StartRefused: there is no database, or it is of a newer version.
        StoreUnavailable: the database cannot be used.
    """
    with closing(_required(settings)) as database:
        return migrate(database)


def adopt_log(settings: Settings, source: Path, watch: Watch = unwatched) -> int:
    """Have the log that `settings` name take over a full export, and the projection follow; returns how many events
    were written.

    Raises:
        LockstreamError: see `adopt_records`; the projection could not be brought up to the log.
        OSError: a file cannot be used.
    """
    source.stat()  # before a log is made for it
    if database := database_of(settings):
        with closing(database):
            migrate(database, only_if_empty=True)
            with closing(AdoptingTables(database)) as tables:
                adopted = adopt_records(tables, source, lambda reached: watch(reached, reached))
            rebuild_tables(database, watch)
        return adopted
    with closing(JsonlEventLog(settings.event_log_path)) as log:
        adopted = adopt_records(log, source, lambda reached: watch(reached, reached))
        log.flush()
    open_store(settings, watch).close()
    return adopted


def log_file(settings: Settings, instead: str) -> Path:
    """The log as a file.

    Raises:
        StartRefused: it is in a database; `instead` says what to do there.
    """
    if settings.database_url:
        raise StartRefused(f"The log is in a database, as DATABASE_URL says. {instead}")
    return settings.event_log_path


def rebuild_projection(settings: Settings, watch: Watch = unwatched) -> int | None:
    """Make the projection anew from the log. Where nodes may go on meanwhile, returns how many lockers have changed by
    it, if that can be said.

    Raises:
        StartRefused: another process has the log, or it is damaged; the old projection is as it was.
        StoreUnavailable: the database cannot be used.
        OSError: the file system does not let us.
    """
    if database := database_of(settings):
        with closing(database):
            return rebuild_tables(database, watch)
    rebuild(settings.event_log_path, settings.working_set_rows, watch)
    return None


def database_of(settings: Settings) -> Database | None:
    """The database that `settings` name, if they name one."""
    return Database(settings.database_url.get_secret_value()) if settings.database_url else None


def _required(settings: Settings) -> Database:
    if database := database_of(settings):
        return database
    raise StartRefused("There is no database to migrate: DATABASE_URL names one. A log in a file has one form only.")
