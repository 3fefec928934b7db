"""Events are exported as lockers send them."""

import json
from pathlib import Path

import pytest

from lockstream.infrastructure.file_log.reader import read_log
from lockstream.services.commands.export_events import export_events
from lockstream.tests.support.builders import LOCKER, event
from lockstream.tests.support.histories import history, record

BODIES = [body for pair in zip(history(LOCKER), history("other"), strict=True) for body in pair]
"""Twenty events, of two lockers in turn."""


@pytest.fixture(autouse=True)
def log(log_path: Path) -> None:
    record(log_path, BODIES)


def test_each_event_becomes_one_line_that_can_be_sent_again(log_path: Path) -> None:
    lines = list(export_events(read_log(log_path), 1, None))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert [event(json.loads(line)) for line in lines] == [event(body) for body in BODIES]


@pytest.mark.parametrize(
    ("first", "expected"), [(0, BODIES), (1, BODIES), (19, BODIES[18:]), (20, BODIES[19:]), (21, [])]
)
def test_an_export_begins_at_the_given_position(log_path: Path, first: int, expected: list[object]) -> None:
    assert [json.loads(line) for line in export_events(read_log(log_path), first, None)] == expected


def test_an_export_of_one_locker_has_only_its_events(log_path: Path) -> None:
    assert [json.loads(line) for line in export_events(read_log(log_path), 1, "other")] == BODIES[1::2]
    assert [json.loads(line) for line in export_events(read_log(log_path), 4, LOCKER)] == BODIES[4::2]
    assert list(export_events(read_log(log_path), 1, "unknown")) == []
