"""The parts of `GET /system` that the command shows. Other members of the response are ignored."""

from msgspec import Struct


class Problem(Struct, frozen=True):
    """Something wrong with the server."""

    code: str
    is_critical: bool
    description: str
    remedy: str
    page: str
    """Section of docs/operations.md."""


class Storage(Struct, frozen=True, kw_only=True):
    """The log and its projection. None stands for a figure that is not known."""

    kind: str
    log_name: str
    head: int
    durable_position: int
    projection_position: int
    projection_lag: int
    projection_lag_seconds: float
    log_bytes: int | None = None
    disk_free_bytes: int | None = None
    events_a_day: float | None = None
    replica_position: int | None = None
    replica_lag_seconds: float | None = None
    replica_failure: str | None = None


class Quarantine(Struct, frozen=True):
    """The quarantine."""

    entries: int
    limit: int
    is_behind: bool


class Node(Struct, frozen=True):
    """One of the nodes that share the work."""

    state: str
    """Name of its state, such as "ready"."""


class Status(Struct, frozen=True, kw_only=True):
    """The running system at one moment."""

    version: str
    started_at: str
    problems: list[Problem]
    storage: Storage
    nodes: list[Node] | None = None
    quarantine: Quarantine | None = None
    min_free_bytes: int = 0
    days_left: float | None = None
    events_waiting: int
    queue_limit: int
    open_streams: int
    stream_limit: int

    @property
    def is_critical(self) -> bool:
        """Whether events are refused now."""
        return any(problem.is_critical for problem in self.problems)
