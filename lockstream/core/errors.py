"""What is broken, as opposed to refused.

LockstreamError
├── MalformedEvent           what came is no event
├── NoReport                 a file that should be an import's report is something else
├── NoBackup                 a backup cannot be put where it should be
├── NotTheSameLog            a full export is not of the log that is there
├── StoreUnavailable         nothing can be written, or nothing current be read, right now
│   ├── QueueFull            too much is waiting; try again in a moment
│   ├── NotReached           a read would not reflect the position that was asked for
│   └── NotOpenYet           the start has not ended
├── StartRefused             it would not be safe to start
│   ├── StoreInUse           another process has the log
│   ├── WrongSchema          the database is not of this version
│   └── LogDamaged           the log is not what was written
│       ├── ExportDamaged    the same, of a full export
│       └── RecordDamaged    the same, of a log in a database
├── ProjectionUnfit          the projection is not this log's; it is made anew
└── HistoryImpossible        a recorded event could never have been accepted

The text of each says what is wrong and what to do about it; it is meant for people.
"""

from pathlib import Path

from lockstream.core.entities.events import Event


class LockstreamError(Exception):
    """The base of all that Lockstream raises on purpose."""


class MalformedEvent(LockstreamError):
    """The bytes are no event; the text says why."""


class NoReport(LockstreamError):
    """A file that should be the report of an import before is something else."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is no report of an import. Move it away, or name another file with --report.")


class NoBackup(LockstreamError):
    """A copy of the log cannot be put where it should be; the text says why."""


class NotTheSameLog(LockstreamError):
    """What should be adopted does not begin with what is there; the text says where they part."""


class StoreUnavailable(LockstreamError):
    """The store cannot take the batch, or cannot show what was acknowledged."""


class QueueFull(StoreUnavailable):
    """As many events wait as may wait."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} events are waiting to be written, as many as may wait. Send the event again soon.")


class NotReached(StoreUnavailable):
    """What can be shown is older than what was asked for."""

    def __init__(self, position: int, least: int) -> None:
        super().__init__(
            f"What can be shown reflects the log up to position {position:,}, and {least:,} was asked for. Ask again "
            "in a moment."
        )


class NotOpenYet(StoreUnavailable):
    """The start has not ended. `progress` says what Lockstream is doing."""

    def __init__(self, progress: str) -> None:
        super().__init__(f"Lockstream {progress}. Try again later.")


class StartRefused(LockstreamError):
    """Starting could do harm; the text says what to do first."""


class StoreInUse(StartRefused):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The log {path} is in use by another Lockstream process. Stop that one first, or set EVENT_LOG_PATH "
            "to another file."
        )


class LogDamaged(StartRefused):
    """A line of the log is not what was written.

    Attributes: `path`; `line`, counted from 1; `offset` of the line's first byte, from 0; `reason`.
    """

    _TEXT = (
        "The log {path} is damaged at line {line} (byte offset {offset}): {reason} Nothing was changed. Keep a copy of "
        "the file, restore it from a backup, and start again; `lockstream verify` checks every line. Without a backup, "
        "`lockstream repair` says what would be lost."
    )

    def __init__(self, path: Path, line: int, offset: int, reason: str) -> None:
        super().__init__(self._TEXT.format(path=path, line=line, offset=offset, reason=reason))
        self.path, self.line, self.offset, self.reason = path, line, offset, reason


class ExportDamaged(LogDamaged):
    """A line of a full export is not what was written. Attributes: as those of `LogDamaged`."""

    _TEXT = (
        "The file {path} is damaged at line {line} (byte offset {offset}), or is no full export: {reason} At most the "
        "lines before it were taken over. Make it anew with `lockstream export --full`, and start this again."
    )


class RecordDamaged(LogDamaged):
    """A row of the log in a database is not what was written.

    Attributes: `line`, its position; `reason`.
    """

    def __init__(self, database: str, position: int, reason: str) -> None:
        StartRefused.__init__(
            self,
            f"The log in the database {database} is damaged at position {position}: {reason} Nothing was changed. "
            "Restore the database from a backup of a time before that.",
        )
        self.line, self.reason = position, reason


class WrongSchema(StartRefused):
    """The database's tables are of another version, or not there; the text says what to do."""


class ProjectionUnfit(LockstreamError):
    """The projection cannot follow the log from where it stands. The text says why."""


class HistoryImpossible(LockstreamError):
    """An event in the log stands on something that no event before it has made."""

    def __init__(self, event: Event) -> None:
        super().__init__(
            f"The log holds {type(event).__name__} {event.event_id}, which could not have been accepted after the "
            "events before it: the log was not written by these rules. `lockstream verify` names each such event. Put "
            "back a copy from before it."
        )
