"""Restart on the files that a fault has left, and count its effects on acknowledged events."""

import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import force_setattr

from lockstream.core.entities.events import Event, KeyId
from lockstream.core.errors import LockstreamError
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.commands.verify import verify_file
from lockstream.tests.crash.fault_report import FaultOutcome
from lockstream.tests.support.builders import Body, event, registered
from lockstream.tests.support.histories import CAPACITY
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.read_audit import content_problems, read_lists

LOG = "event_log.jsonl"


def key_of(event_id: str) -> str:
    """Return the key that reports an event in the tests here, or an empty text for every other event."""
    return f"k{event_id[:7]}" if int(event_id[-1], 16) % 2 else ""


def keyed_event(body: Body) -> Event:
    """Return an event as its key has reported it."""
    reported = event(body)
    force_setattr(reported, "recorded_by", KeyId(key_of(reported.event_id)))
    return reported


@dataclass
class DiskImage:
    """A folder as a fault has left it, and what clients had received by then."""

    folder: Path
    acknowledged: Mapping[str, int]
    """Positions of the acknowledged events, by event id."""

    shown: int = 0
    """The highest position that a read has shown."""

    has_keys: bool = False
    """Whether the acknowledged events were made by `keyed_event`."""

    @property
    def log(self) -> Path:
        return self.folder / LOG


def restart_on(*images: DiskImage) -> FaultOutcome:
    """Restart on each of `images`, and return the counts of the effects."""
    outcome = FaultOutcome()
    for image in images:
        outcome.faults += 1
        outcome.acknowledged += len(image.acknowledged)
        outcome.bricked += [f"{image.folder}: {problem}" for problem in _problems_after_restart(image)]
        outcome.lost += _lost_events(image)
    return outcome


def _problems_after_restart(image: DiskImage) -> list[str]:
    """Start, accept one more event, read all lists, and stop; return sentences about faults, or nothing."""
    try:
        with closing(EmbeddedStore(image.log, CAPACITY)) as store:
            end = store.log.end.position
            [outcome] = ingest([event(registered("c1", locker="after-the-fault"))], store.unit_of_work())
            store.checkpoint()
            records = audited(image.log)
            readings, position = store.list(lambda listings: [*read_lists(listings, records)])
    except (LockstreamError, OSError) as error:
        return [str(error)]
    if not isinstance(outcome, Accepted):
        return [f"a new event was not accepted: {outcome}"]
    if not image.shown <= end < position:
        return [f"position {image.shown} was shown, the log ended at {end}, and lists are at {position}"]
    return (
        _key_problems(image, records)
        + content_problems(readings, records)
        + verify_file(image.log, ignore_progress).problems
    )


def _key_problems(image: DiskImage, records: list[Body]) -> list[str]:
    return [
        f"{record['event_id']} bears the key {record.get('recorded_by')}"
        for record in records
        if image.has_keys
        and record["event_id"] in image.acknowledged
        and record.get("recorded_by", "") != key_of(record["event_id"])
    ]


def _lost_events(image: DiskImage) -> list[str]:
    """Return the acknowledged events that are not at their positions, whether or not the log can be opened."""
    recorded: dict[str, int] = {}
    for line in image.log.read_bytes().splitlines() if image.log.exists() else []:
        with suppress(ValueError):
            entry = json.loads(line)
            recorded[entry["event_id"]] = entry["position"]
    return [
        f"{image.folder}: {event_id}"
        for event_id, position in image.acknowledged.items()
        if recorded.get(event_id) != position
    ]
