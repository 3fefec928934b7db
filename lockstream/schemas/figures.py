"""The bodies of figures: the activity of the network, and the running system with its problems."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from lockstream.core.entities.log import recorded_at_of
from lockstream.core.use_cases.activity import ActivitySpan, ActivityStep
from lockstream.schemas.listings import Time

_Count = Annotated[int, Meta(ge=0)]
_Bytes = Annotated[int | None, Meta(description="In bytes. Null: unknown, or not kept by this storage.")]


class ActivityItem(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The accepted events of one step."""

    at: Annotated[Time, Meta(description="Begin of the step: RFC 3339 in UTC.")]
    events: Annotated[int, Meta(ge=0, description="Events that were accepted in the step.")]


class Activity(Struct, frozen=True, forbid_unknown_fields=True):
    """Accepted events per step of time, the earliest step first. The last step is not over yet."""

    span: ActivitySpan
    step_seconds: Annotated[int, Meta(ge=1, description="Length of a step in seconds.")]
    items: list[ActivityItem]

    @classmethod
    def of(cls, span: ActivitySpan, steps: Sequence[ActivityStep]) -> "Activity":
        items = [ActivityItem(recorded_at_of(step.begins_at), step.events) for step in steps]
        return cls(span, span.step_seconds, items)


class SystemStorage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log and its projection."""

    kind: Literal["file", "postgresql"]
    log_name: Annotated[str, Meta(description="Path of the log, or database and host.")]
    log_id: Annotated[str, Meta(description="The name by which readers of the feed know the log.")]
    appended_position: Annotated[int, Meta(ge=0, description="Position of the last event that was appended.")]
    durable_position: Annotated[int, Meta(ge=0, description="Position of the last event that this node has on disk.")]
    head: Annotated[int, Meta(ge=0, description="Position of the newest durable event, of any node.")]
    projection_position: Annotated[int, Meta(ge=0, description="Position that the projection on disk has reached.")]
    projection_lag: Annotated[int, Meta(ge=0, description="Durable events that the projection on disk lacks.")]
    projection_lag_seconds: Annotated[
        float, Meta(ge=0, description="Age of the oldest event that the projection on disk lacks.")
    ]
    log_bytes: _Bytes
    projection_bytes: _Bytes
    disk_free_bytes: _Bytes
    events_a_day: Annotated[float | None, Meta(description="Accepted events in the last 24 hours. Null: unknown.")]
    log_failure: Annotated[str | None, Meta(description="Why the log cannot be written until a restart.")]
    projection_failure: Annotated[str | None, Meta(description="Why the last checkpoint has failed.")]
    replica_position: Annotated[int | None, Meta(description="Position that the read replica has reached.")]
    replica_lag_seconds: Annotated[float | None, Meta(description="Age of the oldest event that the replica lacks.")]
    replica_failure: Annotated[str | None, Meta(description="Why the read replica does not answer.")]


class SystemQuarantine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The quarantine."""

    open_by_code: Annotated[dict[str, _Count], Meta(description="Open entries by code.")]
    discarded: _Count
    entries: _Count
    limit: Annotated[int, Meta(description="Most entries, as LOCKSTREAM_QUARANTINE_ENTRIES says.")]
    dropped: Annotated[int, Meta(ge=0, description="Entries and arrivals that its bounds have dropped so far.")]
    is_behind: Annotated[bool, Meta(description="Whether entries are in memory alone, as they cannot be written.")]


class SystemNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node of those that share the work. Its times are by the clock of the database, if there is one."""

    node_id: Annotated[str, Meta(description="Random UUID of the process.", extra_json_schema={"format": "uuid"})]
    name: Annotated[str, Meta(description="Host name and port, as LOCKSTREAM_PORT says.")]
    process_id: int
    version: str
    started_at: Annotated[Time, Meta(description="When the node was started: RFC 3339 in UTC.")]
    heard_at: Annotated[Time, Meta(description="When the node was last heard: RFC 3339 in UTC.")]
    position: Annotated[int, Meta(ge=0, description="Position of the newest event when the node was last heard.")]
    state: Annotated[
        Literal["ready", "not_ready", "not_heard"],
        Meta(description="It accepts events, refuses them, or was not heard for 15 seconds."),
    ]
    unavailable_reason: Annotated[
        str | None, Meta(description="Why it refused events when it was last heard. Null: it accepted them.")
    ]
    is_this: Annotated[bool, Meta(description="Whether it is the node that answers.")]


class SystemProblem(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is wrong."""

    code: Annotated[str, Meta(description="Stable name, for programs.")]
    is_critical: Annotated[bool, Meta(description="Whether events are refused now.")]
    description: Annotated[str, Meta(description="Sentence that says what is wrong.")]
    remedy: Annotated[str, Meta(description="Sentence that says what to do.")]
    page: Annotated[str, Meta(description="Section of docs/operations.md about this problem.")]


class SystemStatus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The running system at one moment: the node that answers, and its storage."""

    version: str
    started_at: Annotated[Time, Meta(description="When the node was started: RFC 3339 in UTC.")]
    unavailable_reason: Annotated[str | None, Meta(description="Why events are refused right now. Null: they are not.")]
    problems: Annotated[list[SystemProblem], Meta(description="The critical ones first.")]
    storage: SystemStorage
    nodes: Annotated[
        list[SystemNode] | None,
        Meta(description="All nodes by name; a log in a file has one. Null: the database cannot be read now."),
    ]
    quarantine: Annotated[SystemQuarantine | None, Meta(description="Null: it is off, or did not answer in time.")]
    min_free_bytes: Annotated[int, Meta(description="Free space below which no event is accepted.")]
    days_left: Annotated[float | None, Meta(description="Days until then, at the rate of the last 24 hours.")]
    events_waiting: Annotated[int, Meta(ge=0, description="Events that wait for their acknowledgement.")]
    queue_limit: int
    open_streams: Annotated[int, Meta(ge=0, description="Open streams of the feed.")]
    stream_limit: int
    failing_keys: Annotated[list[str], Meta(description="Work on API keys whose last attempt has failed.")]
    missing: Annotated[list[str], Meta(description="Parts that could not be read in time. Their figures are null.")]
    settings: Annotated[
        dict[str, str | None], Meta(description="Limits and other settings by environment variable. Null: not set.")
    ]


BODIES = Activity, SystemStatus
"""Every body of this module, for the contract."""
