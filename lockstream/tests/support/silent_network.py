"""A log of a network in which two lockers are silent and one is gone."""

from pathlib import Path

import pytest

from lockstream.core.entities.log import SECOND, present_time, recorded_at_of
from lockstream.infrastructure.stores import unit_of_work
from lockstream.tests.support.builders import fault_reported, registered
from lockstream.tests.support.histories import record

SILENT, GONE, NEW = ["lost-1", "lost-2"], "taken-down", "new"
OTHERS = ["other-1", "other-2", "other-3"]
HOUR = 3600 * SECOND
ROUNDS = 60


def record_silent_network(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the log: one locker was last heard of 40 days ago, two 30 hours ago, and the others half an hour ago."""
    steps = [
        (41 * 24, [registered(locker=locker) for locker in (GONE, *SILENT, *OTHERS)]),
        *((hours, _rounds([*OTHERS, *SILENT, GONE])) for hours in (41 * 24 - 1, 40 * 24)),
        (30, _rounds([*OTHERS, *SILENT])),
        (0.5, _rounds(OTHERS)),
        (0.4, [registered(locker=NEW)]),
    ]
    for hours, bodies in steps:
        recorded_at = recorded_at_of(present_time() - int(hours * HOUR))
        with monkeypatch.context() as patch:
            patch.setattr(unit_of_work, "utc_now", lambda recorded_at=recorded_at: recorded_at)
            record(log, bodies)


def _rounds(lockers: list[str]) -> list[dict[str, object]]:
    return [fault_reported(1, locker=locker) for _ in range(ROUNDS) for locker in lockers]
