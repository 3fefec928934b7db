"""Fixtures: a network whose events were accepted in the last days, on an embedded store, and its console."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.infrastructure.stores import unit_of_work
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_client
from lockstream.tests.support.builders import (
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

HOSTILE = "<img src=x onerror=alert(1)>"
IN_MARKUP = "&lt;img src=x onerror=alert(1)&gt;"
SEVEN, EIGHT = "station-7", "station-8"

MINOR = fault_reported(2, "A3", locker=SEVEN, event_id="ffffffff-0000-4000-8000-000000000101")
WORST = fault_reported(5, "B1", locker=EIGHT, event_id="ffffffff-0000-4000-8000-000000000102")
OLD = fault_reported(3, "A4", locker=SEVEN, event_id="ffffffff-0000-4000-8000-000000000103")
CLEARED = fault_reported(4, "A3", locker=SEVEN, event_id="ffffffff-0000-4000-8000-000000000104")
REFUSED = picked_up("never", locker=SEVEN, event_id="ffffffff-0000-4000-8000-000000000105")

HOURS_AGO: dict[int, list[Body]] = {
    200: [registered(door, locker=SEVEN) for door in ("A1", "A2", "A3", "A4")] + [registered("B1", locker=EIGHT)],
    190: [reserved("old", "A1", locker=SEVEN), reserved("picked", "A2", locker=SEVEN)],
    180: [deposited("old", locker=SEVEN), deposited("picked", locker=SEVEN)],  # 8, 9
    100: [picked_up("picked", locker=SEVEN), MINOR, OLD],  # 10 to 12
    50: [reserved("new", "A2", locker=SEVEN), deposited("new", locker=SEVEN), WORST],  # 13 to 15
    10: [CLEARED, fault_cleared(CLEARED, "A3", locker=SEVEN)],
    5: [registered(HOSTILE, locker=HOSTILE), reserved(HOSTILE, HOSTILE, locker=HOSTILE)],  # 18, 19
    1: [reserved("expired", "A3", locker=SEVEN), expired("expired", locker=SEVEN), REFUSED],
}
"""Events by the hours since they were accepted, whose ids begin with no digit.

`REFUSED` is refused. The deposit of `new` was reported late.
"""

LAST = 21


def time_ago(hours: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)


def text_of(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the application with its console, over the network of `HOURS_AGO`. Tests only read."""
    log = tmp_path_factory.mktemp("network") / "event_log.jsonl"
    with console_client(Settings.model_validate({"EVENT_LOG_PATH": log})) as client:
        for hours, events in HOURS_AGO.items():
            time = time_ago(hours)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(unit_of_work, "utc_now", lambda time=time: f"{time:%Y-%m-%dT%H:%M:%S.000000Z}")
                for number, event in enumerate(events, hours * 1_000):
                    if not event["event_id"].startswith("ffffffff"):
                        event["event_id"] = f"ffffffff-0000-4000-8000-{number:012}"
                    event["occurred_at"] = text_of(time - timedelta(hours=3 * (event is HOURS_AGO[50][1]), seconds=2))
                outcomes = client.post("/events/batch", json=events).json()
                assert [outcome["status"] for outcome in outcomes if outcome["status"] != 202] == [422] * (hours == 1)
        yield client


@pytest.fixture
def settings(log_path: Path) -> Settings:
    """The settings of a system over this test's log."""
    return Settings.model_validate({"EVENT_LOG_PATH": log_path})
