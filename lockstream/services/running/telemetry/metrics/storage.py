"""Metric families of the log, its projection, its disk, and the engine that keeps them."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from lockstream.services.running.telemetry.counts import DatabaseCounts, FileCounts
from lockstream.services.running.telemetry.figures import StorageFigures, SystemFigures
from lockstream.services.running.telemetry.metrics.forms import counter, counters, gauge, gauges, histogram

SECONDS_A_DAY = 86_400


def system_families(figures: SystemFigures) -> Iterable[Metric]:
    """Yield the metric families of the running system: its version, its readiness, and the space on its disk."""
    storage, days = figures.storage, figures.days_left
    build = GaugeMetricFamily("lockstream_build_info", "Version and storage.", labels=("version", "storage"))
    build.add_metric((figures.version, storage.kind), 1)
    yield build
    yield from gauge("lockstream_ready", "1 while events are accepted.", figures.unavailable_reason is None)
    yield from gauge("lockstream_log_failed", "1 once the log has failed.", storage.log_failure is not None)
    if storage.disk_free_bytes is not None:
        yield from gauge("lockstream_disk_free_bytes", "Free space of the log's disk.", storage.disk_free_bytes)
        yield from gauge("lockstream_disk_min_free_bytes", "Least free space.", figures.min_free_bytes)
        left = None if days is None else days * SECONDS_A_DAY
        yield from gauge("lockstream_disk_left_seconds", "Time until the least free space is reached.", left)


def position_families(storage: StorageFigures) -> Iterable[Metric]:
    """Yield the metric families of positions in the log, and of the lags between them."""
    yield from gauge("lockstream_log_head_position", "Newest durable event of any node.", storage.head)
    yield from gauge("lockstream_log_appended_position", "Last event that was appended.", storage.appended_position)
    yield from gauge("lockstream_log_durable_position", "Last event known to be on disk.", storage.durable_position)
    yield from gauge("lockstream_log_bytes", "Size of the log, or of its full export.", storage.log_bytes)
    yield from gauge("lockstream_projection_bytes", "Size of the projection's files.", storage.projection_bytes)
    yield from gauge(
        "lockstream_projection_lag_events", "Durable events that the projection lacks.", storage.projection_lag
    )
    yield from gauge(
        "lockstream_projection_lag_seconds", "Age of the first event it lacks.", storage.projection_lag_seconds
    )
    yield from gauge("lockstream_replica_lag_events", "Events that the read replica lacks.", storage.replica_lag)
    yield from gauge(
        "lockstream_replica_lag_seconds", "Age of the first event the replica lacks.", storage.replica_lag_seconds
    )
    has_replica = storage.replica_position is not None or storage.replica_failure is not None
    is_up = float(storage.replica_failure is None) if has_replica else None
    yield from gauge("lockstream_replica_up", "1 while the read replica answers.", is_up)


def engine_families(counts: FileCounts | DatabaseCounts) -> Iterable[Metric]:
    """Yield the metric families of one kind of storage."""
    return _of_file(counts) if isinstance(counts, FileCounts) else _of_database(counts)


def _of_file(counts: FileCounts) -> Iterable[Metric]:
    yield from histogram("lockstream_flush_seconds", "Time of a flush of the log.", counts.flush_seconds)
    yield from histogram("lockstream_checkpoint_seconds", "Time of a checkpoint.", counts.checkpoint_seconds)
    yield from counter(
        "lockstream_checkpoint_failures_total", "Checkpoints that have failed.", counts.checkpoint_failures
    )
    hits = {("hit",): counts.batches - counts.missing_batches, ("miss",): counts.missing_batches}
    yield from counters(
        "lockstream_row_cache_batches_total", "Batches whose rows were in memory, or not.", ("result",), hits
    )
    yield from counter("lockstream_row_cache_read_rows_total", "Rows asked of SQLite.", counts.read_rows)
    rows = {"cached": counts.cached_rows, "changed": counts.changed_rows}
    yield from gauges("lockstream_row_cache_rows", "Rows in memory; changed ones wait.", "state", rows)
    ids = {"memtable": counts.memtable_ids, "run": counts.run_ids}
    yield from gauges("lockstream_id_index_ids", "Ids in the id index.", "part", ids)
    compactions = {("finished",): counts.compactions, ("failed",): counts.failed_compactions}
    yield from counters(
        "lockstream_id_index_compactions_total", "Compactions of the id index.", ("result",), compactions
    )


def _of_database(counts: DatabaseCounts) -> Iterable[Metric]:
    yield from histogram("lockstream_postgres_lock_seconds", "Wait for the write lock.", counts.lock_seconds)
    yield from histogram("lockstream_postgres_commit_seconds", "Time of a commit.", counts.commit_seconds)
    yield from counter("lockstream_postgres_round_trips_total", "Round trips of this node.", counts.round_trips)
    yield from counter("lockstream_postgres_connections_total", "Connections opened.", counts.connections)
