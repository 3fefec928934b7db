"""The problems of the running system, as its figures show them, each with a description and a remedy."""

from collections.abc import Sequence

from msgspec import Struct

from lockstream.core.wording import agreeing, counted
from lockstream.services.running.telemetry.figures import (
    NodeFigures,
    NodeState,
    QuarantineFigures,
    StorageFigures,
    SystemFigures,
)

NEARLY_FULL = 0.8
"""Share of a limit from which the limit counts as nearly reached."""

NEARLY_FULL_DISK = 5
"""Multiple of LOCKSTREAM_MIN_FREE_BYTES below which the disk counts as nearly full."""

FEW_DAYS = 7.0
"""Days of free space that count as few."""

LONG_LAG_SECONDS = 30.0
"""Lag of a projection or a read replica from which it counts as behind. A checkpoint is due each second."""

LISTED_NODES = 5
"""Most nodes that a description names."""

SECONDS_END = len("2026-11-23T08:15:00")
"""Characters of a time without the parts of a second."""


class Problem(Struct, frozen=True):
    """Something wrong with this server, as its figures show it."""

    code: str
    """Stable name, for programs."""

    is_critical: bool
    """Whether events are refused now."""

    description: str
    """Sentence that describes the problem."""

    remedy: str
    """Sentence that names the next step."""

    page: str
    """Name of the section of docs/operations.md about this problem."""


def problems(figures: SystemFigures) -> list[Problem]:
    """Return the problems that the figures show, the critical ones first."""
    storage = figures.storage
    found = [*_of_log(storage), *_of_disk(figures), *_of_projection(figures), *_of_replica(storage)]
    if figures.unavailable_reason and not any(problem.is_critical for problem in found):
        found.append(_events_refused(figures.unavailable_reason))
    found += [*_of_load(figures), *_of_nodes(figures.nodes or ()), *_of_keys(figures), *_of_missing(figures)]
    if figures.quarantine:
        found += _of_quarantine(figures.quarantine)
    return sorted(found, key=lambda problem: not problem.is_critical)


def _events_refused(reason: str) -> Problem:
    return Problem(
        "events_refused", True, f"Events are refused. {reason}", "Do what the reason says.", "events-are-refused"
    )


def _of_log(storage: StorageFigures) -> list[Problem]:
    if not storage.log_failure:
        return []
    remedy = "Make sure that the disk has free space and works, then restart Lockstream."
    return [Problem("log_failed", True, storage.log_failure, remedy, "a-poisoned-log")]


def _of_disk(figures: SystemFigures) -> list[Problem]:
    free, least, days = figures.storage.disk_free_bytes, figures.min_free_bytes, figures.days_left
    if free is None:
        return []
    page = "a-full-disk"
    if free < least:
        description = (
            f"The disk of the log has {free:,} bytes free, less than the {least:,} of LOCKSTREAM_MIN_FREE_BYTES."
        )
        return [Problem("disk_full", True, description, "Free some space; no restart is needed.", page)]
    remedy = f"Free some space, or move the log to a larger disk. Below {least:,} bytes, no event is accepted."
    if free < NEARLY_FULL_DISK * least:
        description = f"The disk of the log has only {free:,} bytes free."
        return [Problem("disk_nearly_full", False, description, remedy, page)]
    if days is not None and days < FEW_DAYS:
        description = f"The disk of the log is full in {days:.1f} days, at the rate of the last 24 hours."
        return [Problem("disk_full_soon", False, description, remedy, page)]
    return []


def _of_projection(figures: SystemFigures) -> list[Problem]:
    storage = figures.storage
    if storage.log_failure:  # after a failure of the log, checkpoints end at the durable position
        return []
    remedy = "Make sure that the disk has free space and works, and that no other program locks the projection."
    page = "a-projection-that-is-behind"
    if storage.projection_failure:
        is_critical = figures.unavailable_reason == storage.projection_failure
        return [Problem("checkpoint_failing", is_critical, storage.projection_failure, remedy, page)]
    if storage.projection_lag_seconds > LONG_LAG_SECONDS:
        lag = counted(storage.projection_lag, "event")
        description = f"The projection is {lag} and {storage.projection_lag_seconds:.0f} seconds behind the log."
        return [Problem("projection_behind", False, description, remedy, page)]
    return []


def _of_replica(storage: StorageFigures) -> list[Problem]:
    remedy, page = "Check its replication, or let reads go to the primary.", "a-replica-that-is-behind"
    if storage.replica_failure:
        return [Problem("replica_away", False, storage.replica_failure, remedy, page)]
    lag, seconds = storage.replica_lag, storage.replica_lag_seconds
    if lag is None or seconds is None or seconds <= LONG_LAG_SECONDS:
        return []
    description = f"The read replica is {counted(lag, 'event')} and {seconds:.0f} seconds behind the database."
    return [Problem("replica_behind", False, description, remedy, page)]


def _of_load(figures: SystemFigures) -> list[Problem]:
    found = []
    if figures.events_waiting >= NEARLY_FULL * figures.queue_limit:
        waiting, limit = figures.events_waiting, figures.queue_limit
        description = (
            f"The ingest queue is nearly full: {waiting:,} of at most {limit:,} events wait for acknowledgement."
        )
        remedy = "Find out whether the disk is slow or a client floods the queue. LOCKSTREAM_QUEUE_LIMIT is its bound."
        found.append(Problem("queue_nearly_full", False, description, remedy, "a-full-queue"))
    if figures.open_streams >= figures.stream_limit > 0:
        description = f"The limit of open streams of the feed is reached: {figures.open_streams:,} are open."
        remedy = "Find out whether readers leave streams open. LOCKSTREAM_STREAM_LIMIT is the bound."
        found.append(Problem("streams_at_limit", False, description, remedy, "too-many-streams"))
    return found


def _of_nodes(nodes: Sequence[NodeFigures]) -> list[Problem]:
    found = []
    unheard = [node for node in nodes if node.state is NodeState.NOT_HEARD]
    versions = {node.version: node.name for node in nodes if node.state is not NodeState.NOT_HEARD}
    if unheard:
        since = _listing([f"{node.name} since {node.heard_at[:SECONDS_END]}Z" for node in unheard])
        description = f"{counted(len(unheard), 'node')} {agreeing(len(unheard), 'is', 'are')} not heard: {since}."
        remedy = "Look at the process and at its way to the database, and start it again if it has ended."
        found.append(Problem("node_not_heard", False, description, remedy, "a-node-that-is-away"))
    if len(versions) > 1:
        by_version = _listing([f"{version} ({name})" for version, name in sorted(versions.items())])
        description = f"The nodes have {len(versions)} versions of Lockstream: {by_version}."
        remedy = "Finish the upgrade: restart the nodes of the older version with the newer one."
        found.append(Problem("node_versions_differ", False, description, remedy, "nodes-of-several-versions"))
    return found


def _listing(parts: Sequence[str]) -> str:
    """Return the first parts of a list, and how many more there are."""
    more = [f"{len(parts) - LISTED_NODES} more"] if len(parts) > LISTED_NODES else []
    return ", ".join([*parts[:LISTED_NODES], *more])


def _of_keys(figures: SystemFigures) -> list[Problem]:
    if not figures.failing_keys:
        return []
    description = f"Work on API keys fails: {', '.join(figures.failing_keys)}. Revoked keys may still be accepted."
    remedy = "The log of the server has the reason. Mend the files or the database that hold the keys."
    return [Problem("keys_failing", False, description, remedy, "keys-that-cannot-be-followed")]


def _of_missing(figures: SystemFigures) -> list[Problem]:
    if not figures.missing:
        return []
    missing = ", ".join(figures.missing)
    description = f"Figures could not be read in time: {missing}. Problems of these parts are not shown."
    remedy = "Find out whether the disk or the database is slow, or whether long lists are read."
    return [Problem("figures_missing", False, description, remedy, "missing-figures")]


def _of_quarantine(quarantine: QuarantineFigures) -> list[Problem]:
    page = "a-quarantine-that-fills"
    if quarantine.is_behind:
        description = "The quarantine cannot be written, and is kept in memory alone."
        remedy = "Make sure that its disk or database has free space and works."
        return [Problem("quarantine_behind", False, description, remedy, page)]
    if quarantine.entries >= NEARLY_FULL * quarantine.limit:
        description = f"The quarantine holds {quarantine.entries:,} of at most {quarantine.limit:,} entries."
        remedy = "Find the senders in GET /quarantine, mend them, and resubmit or discard their events."
        return [Problem("quarantine_filling", False, description, remedy, page)]
    return []
