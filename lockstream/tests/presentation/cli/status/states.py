"""States of servers, as `GET /system` tells them."""

from typing import Any

import msgspec

from lockstream.presentation.cli.status.answers import Problem, Quarantine, Status, Storage

FULL_DISK = Problem("disk_full", True, "The disk is full.", "Free some space.", "a-full-disk")
LAG = Problem("projection_behind", False, "The projection is behind.", "Find out why.", "a-projection-that-is-behind")


def storage(**changes: Any) -> Storage:
    """Return a log of 81,204 events in a file, with some figures changed."""
    given: dict[str, Any] = {
        "kind": "file",
        "log_name": "/var/lib/event_log.jsonl",
        "head": 81_204,
        "durable_position": 81_204,
        "projection_position": 81_204,
        "projection_lag": 0,
        "projection_lag_seconds": 0.0,
        "log_bytes": 26_300_000,
        "disk_free_bytes": 412_000_000,
        "events_a_day": 9_120.4,
    }
    return Storage(**given | changes)


def status(*problems: Problem, **changes: Any) -> Status:
    """Return a state with these problems, and with some figures changed."""
    given: dict[str, Any] = {
        "version": "2.0.0",
        "started_at": "2026-11-23T06:00:00.000000Z",
        "problems": list(problems),
        "storage": storage(),
        "quarantine": Quarantine(4, 50_000, False),
        "min_free_bytes": 104_857_600,
        "days_left": 47.6,
        "events_waiting": 7,
        "queue_limit": 20_000,
        "open_streams": 2,
        "stream_limit": 1_000,
    }
    return Status(**given | changes)


def body(shown: Status) -> bytes:
    """Return a response of `GET /system`, with members that the command does not know."""
    return msgspec.json.encode(msgspec.to_builtins(shown) | {"settings": {}, "later": 1})
