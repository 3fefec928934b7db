"""The figures of the running system at one moment. Reading them waits for no checkpoint, and costs little."""

from enum import StrEnum

from msgspec import Struct

from lockstream.services.running.telemetry.growth import days_left


class StorageKind(StrEnum):
    """The kind of storage that holds the log."""

    FILE = "file"
    POSTGRESQL = "postgresql"


class StorageFigures(Struct, frozen=True, kw_only=True):
    """The figures of the log and its projection. None stands for a figure that this storage does not have."""

    kind: StorageKind
    log_name: str
    """Path of the log file, or the name and the host of its database."""

    log_id: str
    """Beginning of the chain value of the first record, by which readers of the feed know the log."""

    appended_position: int
    """Position of the last event that was appended. It may not be flushed yet."""

    durable_position: int
    """Position of the last event that this node knows to be on disk."""

    head: int
    """Position of the newest durable event, of any node."""

    projection_position: int
    """Position that the projection on disk has reached."""

    projection_lag_seconds: float = 0.0
    """Age of the oldest event that the projection on disk lacks."""

    log_bytes: int | None = None
    """Size of the log, or of its full export if it is in a database."""

    projection_bytes: int | None = None
    """Size of the files of the projection."""

    disk_free_bytes: int | None = None
    """Free space on the disk of the log."""

    events_a_day: float | None = None
    """Rate of accepted events in the last 24 hours."""

    log_failure: str | None = None
    """Why the log cannot be written until a restart."""

    projection_failure: str | None = None
    """Why the last checkpoint has failed."""

    replica_position: int | None = None
    """Position that the read replica has reached, if there is one and it answers."""

    replica_lag_seconds: float | None = None
    """Age of the oldest event that the read replica lacks."""

    replica_failure: str | None = None
    """Why the read replica does not answer."""

    missing: tuple[str, ...] = ()
    """Parts that could not be read in time, such as "disk"."""

    @property
    def projection_lag(self) -> int:
        """Durable events that the projection on disk lacks."""
        return max(0, self.durable_position - self.projection_position)

    @property
    def replica_lag(self) -> int | None:
        """Events that the read replica lacks."""
        return None if self.replica_position is None else max(0, self.head - self.replica_position)


class QuarantineFigures(Struct, frozen=True, kw_only=True):
    """The figures of the quarantine."""

    open_by_code: dict[str, int]
    """Open entries by the code of their newest refusal."""

    discarded: int
    limit: int
    """Most entries, as LOCKSTREAM_QUARANTINE_ENTRIES says."""

    dropped: int
    """Entries and arrivals that the bounds of the quarantine have dropped so far."""

    is_behind: bool
    """Whether entries are in memory alone because they cannot be written."""

    @property
    def entries(self) -> int:
        """Number of entries."""
        return sum(self.open_by_code.values()) + self.discarded


class NodeState(StrEnum):
    """The state of a node, as far as its database knows."""

    READY = "ready"
    """The node accepts events."""

    NOT_READY = "not_ready"
    """The node refuses events."""

    NOT_HEARD = "not_heard"
    """The node has written no heartbeat for 15 seconds. It may have ended."""


class NodeFigures(Struct, frozen=True, kw_only=True):
    """One node of those that share the work. Times are RFC 3339 in UTC, by the clock of the database, if any."""

    node_id: str
    """Random UUID of the process."""

    name: str
    """Host name and port."""

    process_id: int
    version: str
    started_at: str
    heard_at: str
    """Time of the last heartbeat."""

    position: int
    """Position of the newest event that the node knew at the last heartbeat."""

    state: NodeState
    unavailable_reason: str | None
    """Why the node refused events at the last heartbeat."""

    is_this: bool
    """Whether it is the node that answers."""


class SystemFigures(Struct, frozen=True, kw_only=True):
    """The figures of one process and its storage."""

    version: str
    started_at: str
    """Time at which the system was opened: RFC 3339 in UTC."""

    storage: StorageFigures
    min_free_bytes: int
    """Free space below which no event is accepted, as LOCKSTREAM_MIN_FREE_BYTES says."""

    events_waiting: int
    """Events that wait for their acknowledgement."""

    queue_limit: int
    open_streams: int
    stream_limit: int
    quarantine: QuarantineFigures | None
    """None if there is no quarantine, or if it did not answer in time."""

    unavailable_reason: str | None
    """Why events are refused right now."""

    nodes: tuple[NodeFigures, ...] | None
    """All nodes by name, or None if the database could not be read lately."""

    failing_keys: tuple[str, ...] = ()
    """Work on API keys whose last attempt has failed, such as "read the keys"."""

    missing: tuple[str, ...] = ()
    """Parts that could not be read in time, also those of the storage."""

    @property
    def days_left(self) -> float | None:
        """Days until the free space reaches `min_free_bytes`, at the rate of the last 24 hours, if that is known."""
        storage = self.storage
        if storage.disk_free_bytes is None or storage.log_bytes is None:
            return None
        used = storage.log_bytes + (storage.projection_bytes or 0)
        return days_left(storage.disk_free_bytes - self.min_free_bytes, used, storage.head, storage.events_a_day)
