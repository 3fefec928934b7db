"""Problems: what is wrong follows from the figures alone, and each has a section of docs/operations.md."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from lockstream.services.running.telemetry.figures import (
    NodeFigures,
    NodeState,
    QuarantineFigures,
    StorageFigures,
    StorageKind,
    SystemFigures,
)
from lockstream.services.running.telemetry.problems import Problem, problems

OPERATIONS = Path(__file__).parents[5] / "docs/operations.md"

STORAGE = StorageFigures(
    kind=StorageKind.FILE,
    log_name="event_log.jsonl",
    log_id="0123456789abcdef",
    appended_position=1_000,
    durable_position=1_000,
    head=1_000,
    projection_position=990,
    projection_lag_seconds=0.5,
    log_bytes=400_000,
    projection_bytes=600_000,
    disk_free_bytes=10_000_000,
    events_a_day=10.0,
)
QUARANTINE = QuarantineFigures(open_by_code={"unknown_locker": 3}, discarded=1, limit=100, dropped=0, is_behind=False)
NODE = NodeFigures(
    node_id="0190a5e0-0000-4000-8000-0000000000a1",
    name="host-1:8000",
    process_id=4711,
    version="2.0.0",
    started_at="2026-11-23T08:15:00.000000Z",
    heard_at="2026-11-23T09:15:00.000000Z",
    position=1_000,
    state=NodeState.READY,
    unavailable_reason=None,
    is_this=True,
)
HEALTHY = SystemFigures(
    version="2.0.0",
    started_at="2026-11-23T08:15:00.000000Z",
    storage=STORAGE,
    min_free_bytes=1_000_000,
    events_waiting=3,
    queue_limit=20_000,
    open_streams=2,
    stream_limit=1_000,
    quarantine=QUARANTINE,
    unavailable_reason=None,
    nodes=(NODE,),
)


def with_storage(**changes: Any) -> SystemFigures:
    return replace(HEALTHY, storage=replace(STORAGE, **changes))


def with_quarantine(**changes: Any) -> SystemFigures:
    return replace(HEALTHY, quarantine=replace(QUARANTINE, **changes))


def with_others(*changes: dict[str, Any]) -> SystemFigures:
    """Return figures with further nodes that differ from the first one."""
    others = [replace(NODE, name=f"host-{number}:8000", is_this=False, **one) for number, one in enumerate(changes, 2)]
    return replace(HEALTHY, nodes=(NODE, *others))


FAILED = "The log event_log.jsonl could not be written."
CHECKPOINT = "The projection could not be written."

CASES = {
    "events_refused": replace(HEALTHY, unavailable_reason="The database is away."),
    "log_failed": replace(with_storage(log_failure=FAILED), unavailable_reason=FAILED),
    "disk_full": replace(with_storage(disk_free_bytes=999_999), unavailable_reason="The disk has 999,999 bytes free."),
    "disk_nearly_full": with_storage(disk_free_bytes=4_999_999),
    "disk_full_soon": with_storage(events_a_day=1_300.0),
    "checkpoint_failing": with_storage(projection_failure=CHECKPOINT),
    "projection_behind": with_storage(projection_lag_seconds=31.0),
    "replica_behind": with_storage(replica_position=999, replica_lag_seconds=31.0),
    "replica_away": with_storage(replica_failure="The replica is away."),
    "queue_nearly_full": replace(HEALTHY, events_waiting=16_000),
    "streams_at_limit": replace(HEALTHY, open_streams=1_000),
    "quarantine_behind": with_quarantine(is_behind=True),
    "quarantine_filling": with_quarantine(open_by_code={"a": 50, "b": 25}, discarded=5),
    "figures_missing": replace(HEALTHY, missing=("disk", "quarantine")),
    "node_not_heard": with_others({"state": NodeState.NOT_HEARD}),
    "node_versions_differ": with_others({"version": "2.1.0"}),
    "keys_failing": replace(HEALTHY, failing_keys=("read the keys",)),
}
CRITICAL = {"events_refused", "log_failed", "disk_full"}


def test_a_healthy_system_has_no_problem() -> None:
    assert problems(HEALTHY) == []
    assert problems(replace(HEALTHY, quarantine=None)) == []


@pytest.mark.parametrize("code", CASES)
def test_each_problem_is_found_alone(code: str) -> None:
    [problem] = problems(CASES[code])
    assert (problem.code, problem.is_critical) == (code, code in CRITICAL)
    assert problem.description.endswith(".")
    assert problem.remedy.endswith(".")


@pytest.mark.parametrize(
    "figures",
    [
        with_storage(disk_free_bytes=5_000_000),
        with_storage(disk_free_bytes=None, log_bytes=None),  # a database
        with_storage(disk_free_bytes=1, log_bytes=None),
        with_storage(events_a_day=1_200.0),
        with_storage(projection_lag_seconds=30.0),
        with_storage(replica_position=1_000, replica_lag_seconds=0.0),
        with_storage(replica_position=1, replica_lag_seconds=30.0),
        replace(HEALTHY, events_waiting=15_999),
        replace(HEALTHY, open_streams=999),
        replace(HEALTHY, open_streams=0, stream_limit=0),
        with_quarantine(discarded=76),
        with_others({}, {"state": NodeState.NOT_READY, "unavailable_reason": "The database is away."}),
        replace(HEALTHY, nodes=None),
    ],
)
def test_a_figure_within_its_bounds_is_no_problem(figures: SystemFigures) -> None:
    if figures.storage.disk_free_bytes == 1:
        figures = replace(figures, min_free_bytes=0)
    assert problems(figures) == []


def test_a_failing_checkpoint_is_critical_once_events_are_refused_for_it() -> None:
    [problem] = problems(replace(CASES["checkpoint_failing"], unavailable_reason=CHECKPOINT))
    assert (problem.code, problem.is_critical) == ("checkpoint_failing", True)


def test_critical_problems_come_first() -> None:
    figures = replace(CASES["queue_nearly_full"], storage=CASES["log_failed"].storage, unavailable_reason=FAILED)
    assert [problem.code for problem in problems(figures)] == ["log_failed", "queue_nearly_full"]


def test_each_problem_has_a_section_of_the_operations_page() -> None:
    titles = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    found = [problem for figures in CASES.values() for problem in problems(figures)]
    assert [problem for problem in found if problem.page not in anchors] == []
    assert {problem.code for problem in found} == set(CASES)


def test_a_problem_names_its_values() -> None:
    def text(code: str) -> str:
        problem: Problem = problems(CASES[code])[0]
        return problem.description

    assert text("disk_full_soon") == "The disk of the log is full in 6.9 days, at the rate of the last 24 hours."
    assert text("projection_behind") == "The projection is 10 events and 31 seconds behind the log."
    assert text("replica_behind") == "The read replica is 1 event and 31 seconds behind the database."
    assert text("figures_missing") == (
        "Figures could not be read in time: disk, quarantine. Problems of these parts are not shown."
    )
    assert text("node_not_heard") == "1 node is not heard: host-2:8000 since 2026-11-23T09:15:00Z."
    assert text("node_versions_differ") == (
        "The nodes have 2 versions of Lockstream: 2.0.0 (host-1:8000), 2.1.0 (host-2:8000)."
    )
    assert text("quarantine_filling") == "The quarantine holds 80 of at most 100 entries."


def test_a_node_that_is_not_heard_has_no_version_and_only_some_are_named() -> None:
    gone = {"state": NodeState.NOT_HEARD, "version": "1.0.0"}
    [problem] = problems(with_others(*[gone] * 7))
    assert problem.code == "node_not_heard"
    assert problem.description.startswith("7 nodes are not heard: host-2:8000 since 2026-11-23T09:15:00Z, ")
    assert "host-6:8000" in problem.description
    assert problem.description.endswith(", 2 more.")
