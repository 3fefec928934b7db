"""Exceptions for faults. An event that the rules forbid is a refusal, which is a value (`outcomes`).

LockstreamError
├── MalformedEvent            bytes that are not an event
├── NotAnImportReport         the report file of an import holds something else
├── BackupFailed              a backup cannot be written to its destination
├── LogMismatch               a full export belongs to another log
├── LogMissing                a command reads a log file that does not exist
├── SimulationFailed          simulated events cannot be written or posted
├── StatusUnknown             the state of a server cannot be read
├── FollowFailed              the feed of a server cannot be followed
├── QuarantineRequestFailed   the quarantine of a server cannot be read or changed
├── QuarantineOff             a request needs the quarantine, and there is none
├── InvalidKey                a request to create or rotate an API key has a wrong value
├── UnknownKey                no API key has the id of a request
├── KeyEnded                  an API key that is revoked, expired or replaced cannot be rotated
├── TooManyLockers            a key has too many lockers to list their reservations by id
├── TooManyToSort             too many lockers pass the filters of a list that no index has in its order
├── AccessRefused             a request may not be served
│   ├── NotAuthenticated      the request has no key that is accepted
│   └── NotAllowed            the key of the request does not allow the operation
├── CursorRefused             a reader of the feed goes on with another log
├── OutputFailed              the output of a command cannot be written
├── UnknownSubject            no accepted event has named the locker, compartment or reservation
├── LockerNotAllowed          a key reports an event of a locker that it is not bound to
├── StoreUnavailable          no event can be written, or no current state be read, right now
│   ├── QueueFull             too many events wait
│   ├── TooManyStreams        too many streams of the feed are open
│   ├── PositionNotReached    a read would be older than the position that the client demands
│   └── StartingUp            the startup has not finished
├── StartRefused              a start could do harm
│   ├── LogLocked             another process has the log open
│   ├── SchemaMismatch        the database's tables belong to another version
│   ├── KeysDamaged           the API keys differ from what was written
│   ├── KeysMissing           the API keys are gone, and the audit log says that there were some
│   └── KeysRequired          the server has no key, and would be open to a network
├── LogDamaged                a record of the log differs from the record that was written
│   ├── LogFileDamaged        a line of a log file is damaged
│   ├── ExportDamaged         a line of a full export is damaged
│   └── LogTableDamaged       a row of the log in a database is damaged
├── ProjectionInvalid         the projection does not belong to the log, and is rebuilt
└── InconsistentHistory       the log holds an event that the rules would never have accepted

Each text is for people: it names the fault and the next step.
"""

from collections.abc import Iterable
from pathlib import Path

from lockstream.core.entities.events import NO_KEY, Event, KeyId
from lockstream.core.wording import counted, quoted


class LockstreamError(Exception):
    """Base of all exceptions that Lockstream raises on purpose."""


class MalformedEvent(LockstreamError):
    """Raised when bytes are not an event. `kind` names the fault for programs."""

    def __init__(self, reason: str, kind: str = "event_malformed") -> None:
        super().__init__(reason)
        self.kind = kind


class NotAnImportReport(LockstreamError):
    """Raised when the report file of an import exists and holds something else."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not a report of an import. Move it away, or name another file with --report.")


class BackupFailed(LockstreamError):
    """Raised when a backup cannot be written to its destination."""


class ReplayFailed(LockstreamError):
    """Raised when `verify` cannot keep its temporary files."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"The temporary files of `lockstream verify` in {folder} cannot be written ({reason}). Make sure that its "
            "disk works and has free space, and that you may create files there, then run the command again."
        )


class LogMismatch(LockstreamError):
    """Raised when a full export does not begin with the records that the log already holds."""


class LogMissing(LockstreamError):
    """Raised when a command reads a log file that does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"There is no log at {path}. Set EVENT_LOG_PATH or --log to the log of the server, or put the log back."
        )


class SimulationFailed(LockstreamError):
    """Raised when simulated events cannot be written to a file, or posted to a server."""


class OutputFailed(LockstreamError):
    """Raised when a command cannot write its output."""


class UnknownSubject(LockstreamError):
    """Raised when no accepted event has named the subject of a history."""


class StatusUnknown(LockstreamError):
    """Raised when the command line cannot read the state of a server."""


class FollowFailed(LockstreamError):
    """Raised when the command line cannot follow the feed of a server."""


class QuarantineRequestFailed(LockstreamError):
    """Raised when the command line cannot read or change the quarantine of a server."""


class QuarantineOff(LockstreamError):
    """Raised when a request needs the quarantine, and the settings turn it off."""

    def __init__(self) -> None:
        super().__init__(
            "The quarantine is off, so refused events are not kept. Set LOCKSTREAM_QUARANTINE to true, and start "
            "Lockstream again."
        )


class LockerNotAllowed(LockstreamError):
    """Raised when a key reports an event of a locker that it is not bound to."""

    code = "locker_not_allowed"
    """Name of the error for programs."""

    def __init__(self, key_id: KeyId, locker_id: str) -> None:
        super().__init__(
            f"The key {key_id} may not report events of locker {locker_id!r}. Use a key that is bound to that locker."
        )
        self.key_id, self.locker_id = key_id, locker_id


class CursorRefused(LockstreamError):
    """Raised when a reader of the feed names another log, or a position beyond the head. `code` tells these apart."""

    def __init__(self, text: str, code: str, log_id: str, head: int) -> None:
        super().__init__(text)
        self.code, self.log_id, self.head = code, log_id, head

    @classmethod
    def other_log(cls, given: str, log_id: str, head: int) -> "CursorRefused":
        """Return the error of a reader that names the log `given`."""
        return cls(
            f"The request continues the log {given}, and this server has the log {log_id}. A position of one log means "
            "nothing in another. Check the URL of the server, or read the feed from the start into an empty target.",
            "other_log",
            log_id,
            head,
        )

    @classmethod
    def beyond_head(cls, after: int, log_id: str, head: int) -> "CursorRefused":
        """Return the error of a reader that has read up to `after`."""
        return cls(
            f"The request continues after position {after:,}, and the log {log_id} ends at position {head:,}. Events "
            "that were read before are missing here, as after the restore of an older backup. Compare what was read "
            f"with the log, and go on with a position up to {head:,}.",
            "cursor_beyond_head",
            log_id,
            head,
        )


class StoreUnavailable(LockstreamError):
    """Raised when the store cannot accept a batch, or cannot show the acknowledged state."""


class QueueFull(StoreUnavailable):
    """Raised when the ingest queue has no room for more events, or none for more events of one key."""

    def __init__(self, limit: int, held: int = 0) -> None:
        """`held` is the number of waiting events of the key, or 0 if the queue has no room for other keys, either."""
        room = f"The ingest queue is full ({counted(limit, 'event')})."
        if held:
            room = f"The key has its share of the ingest queue: {held:,} of {counted(limit, 'event')}."
        super().__init__(f"{room} Send the event again in a moment.")


class TooManyStreams(StoreUnavailable):
    """Raised when the limit of open streams of the feed is reached, or the share of one key."""

    def __init__(self, limit: int, held: int = 0) -> None:
        """`held` is the number of open streams of the key, or 0 if no other key may open one, either."""
        reached = f"The limit of LOCKSTREAM_STREAM_LIMIT is reached ({counted(limit, 'open stream')} of the feed). Try"
        if held:
            reached = (
                f"The key has its share of LOCKSTREAM_STREAM_LIMIT: {held:,} of {counted(limit, 'open stream')} of the "
                "feed. Close some, try"
            )
        super().__init__(f"{reached} again later, use another node, or read pages of GET /events.")


class PositionNotReached(StoreUnavailable):
    """Raised when a read would be older than the min position that the client demands."""

    def __init__(self, position: int, min_position: int) -> None:
        super().__init__(
            f"Reads reflect the log up to position {position:,}, and the request demands {min_position:,}. Send it "
            "again in a moment."
        )


class StartingUp(StoreUnavailable):
    """Raised when a request arrives before the startup has finished."""

    def __init__(self, progress: str) -> None:
        super().__init__(f"Lockstream {progress}. Try again later.")


class TooManyLockers(LockstreamError):
    """Raised when a key is bound to too many lockers to list all their reservations by id."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The key is bound to more than {limit} lockers, so their reservations cannot be listed by id together. "
            "Send locker_id with sort=id, or send sort=changed."
        )


class TooManyToSort(LockstreamError):
    """Raised when no index has a list of lockers in its order, and too many lockers pass the filters."""

    def __init__(self, order: str, limit: int, allowed: Iterable[str] = ()) -> None:
        """`allowed` are the filters that the order allows for any number of lockers."""
        names = " and ".join(allowed)
        others = f", sort by id, or filter by {names} alone." if names else ", or sort by id."
        most = counted(limit, "locker")
        super().__init__(f"More than {most} pass the filters, too many to sort by {order}. Narrow the filters{others}")


class StartRefused(LockstreamError):
    """Raised when a start could do harm. The text names the step to take first."""


class LogLocked(StartRefused):
    """Raised when another process has the log open."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The log {path} is in use by another Lockstream process. Stop that process first, or set EVENT_LOG_PATH "
            "to another file."
        )


class SchemaMismatch(StartRefused):
    """Raised when the database's tables are missing or belong to another version."""


class KeysDamaged(StartRefused):
    """Raised when stored API keys differ from what was written. A running server keeps the last good keys."""


class KeysMissing(StartRefused):
    """Raised when there is no API key, and the audit log says that keys were created."""


class KeysRequired(StartRefused):
    """Raised when a server without API keys would listen on an address that a network can reach."""


class InvalidKey(LockstreamError):
    """Raised when a request to create or rotate an API key has a wrong value, such as an empty name."""


class UnknownKey(LockstreamError):
    """Raised when an operation names an API key that does not exist."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {quoted(key_id)}. `lockstream keys list` and GET /keys show the ids.")


class KeyEnded(LockstreamError):
    """Raised when an API key that is revoked, expired or replaced should be rotated."""


class AccessRefused(LockstreamError):
    """Raised when a request may not be served. `code` names the reason, for programs."""

    def __init__(self, text: str, code: str, key_id: KeyId = NO_KEY) -> None:
        """`key_id` is the key of the request if its secret was right, else empty."""
        super().__init__(text)
        self.code, self.key_id = code, key_id


class NotAuthenticated(AccessRefused):
    """Raised when a request has no key that is accepted."""


class NotAllowed(AccessRefused):
    """Raised when the key of a request does not allow the operation, which needs the scope `missing`."""

    def __init__(self, text: str, code: str, key_id: KeyId = NO_KEY, missing: str = "") -> None:
        super().__init__(text, code, key_id)
        self.missing = missing


class LogDamaged(LockstreamError):
    """Raised when a record of the log differs from the record that was written.

    `position` is the position of the first damaged record. `reason` is a sentence that names the fault.
    """

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(text)
        self.position, self.reason = position, reason


class LogFileDamaged(LogDamaged):
    """Raised when a line of a log file is damaged. `offset` is the offset of the line, in bytes."""

    def __init__(self, path: Path, position: int, offset: int, reason: str) -> None:
        text = (
            f"The log {path} is damaged at line {position} (byte offset {offset}): {reason} Nothing was changed. Keep "
            "a copy of the file, restore it from a backup, and start again; `lockstream verify` checks every line. "
            "Without a backup, `lockstream repair` says what would be lost."
        )
        super().__init__(text, position, reason)
        self.offset = offset


class ExportDamaged(LogDamaged):
    """Raised when a line of a full export is damaged."""

    def __init__(self, path: Path, position: int, offset: int, reason: str) -> None:
        text = (
            f"The file {path} is damaged at line {position} (byte offset {offset}), or is not a full export: {reason} "
            "At most the lines before it were imported. Export again with `lockstream export --full`, and start this "
            "import again."
        )
        super().__init__(text, position, reason)


class LogTableDamaged(LogDamaged):
    """Raised when a row of the log in a database is damaged."""

    def __init__(self, database: str, position: int, reason: str) -> None:
        text = (
            f"The log in the database {database} is damaged at position {position}: {reason} Nothing was changed. "
            "Restore the database from a backup that is older than the damage."
        )
        super().__init__(text, position, reason)


class ProjectionInvalid(LockstreamError):
    """Raised when the projection cannot follow the log from the cursor that it has reached."""


class InconsistentHistory(LockstreamError):
    """Raised when a recorded event needs a row that no earlier event has created."""

    def __init__(self, event: Event) -> None:
        super().__init__(
            f"The log holds {type(event).__name__} {event.event_id}, which could not have been accepted after the "
            "events before it: the log was not written by these rules. `lockstream verify` names each such event. "
            "Restore a copy of the log that is older than this event."
        )
