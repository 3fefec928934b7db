"""From settings to a running system: the one place that chooses an engine."""

from lockstream.infrastructure.embedded import EmbeddedStore, Watch, rebuild, unwatched
from lockstream.infrastructure.settings import Settings, environment_names
from lockstream.infrastructure.unknown_settings import unknown_settings
from lockstream.services.lockstream import Lockstream

__all__ = [
    "Settings",
    "Watch",
    "environment_names",
    "open_lockstream",
    "open_store",
    "rebuild_projection",
    "unknown_settings",
]


def open_store(settings: Settings, watch: Watch = unwatched) -> EmbeddedStore:
    """Open the store that `settings` name, its projection brought up to its log.

    Raises:
        StartRefused: another process has the log, or it is damaged, or cannot be there.
        HistoryImpossible: the log was not written by these rules.
        StoreUnavailable: the projection cannot be written.
    """
    return EmbeddedStore(settings.event_log_path, settings.working_set_rows, watch, settings.disk_floor_bytes)


def open_lockstream(settings: Settings, watch: Watch = unwatched) -> Lockstream:
    """Start the system that `settings` describe.

    Raises:
        StartRefused: another process has the log, or it is damaged, or cannot be there.
        HistoryImpossible: the log was not written by these rules.
        StoreUnavailable: the projection cannot be written.
    """
    return Lockstream(open_store(settings, watch), settings)


def rebuild_projection(settings: Settings, watch: Watch = unwatched) -> None:
    """Make the projection anew from the log.

    Raises:
        StartRefused: another process has the log, or it is damaged; the old projection is as it was.
        OSError: the file system does not let us.
    """
    rebuild(settings.event_log_path, settings.working_set_rows, watch)
