"""What may be on the disk after a power cut, and what becomes of it at the next start."""

import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lockstream.core.errors import LockstreamError
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.commands.verify import verify
from lockstream.tests.crash.fault_report import Fate
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.histories import CAPACITY
from lockstream.tests.support.log_audit import audited

LOG = "event_log.jsonl"


@dataclass
class Cut:
    """What a power cut has left in a folder, and what had been acknowledged by then: positions by id."""

    folder: Path
    acknowledged: Mapping[str, int]

    @property
    def log(self) -> Path:
        return self.folder / LOG


def fate(*cuts: Cut) -> Fate:
    """Start on each, and see what is there. `acknowledged` counts the events of each cut."""
    found = Fate()
    for cut in cuts:
        found.faults += 1
        found.acknowledged += len(cut.acknowledged)
        found.bricked += [f"{cut.folder}: {reason}" for reason in wrong_after_a_start(cut.log)]
        found.lost += lost(cut)
    return found


def wrong_after_a_start(log: Path) -> list[str]:
    """Start, take in an event more, and stop; returns what is wrong with that."""
    try:
        with closing(EmbeddedStore(log, CAPACITY)) as store:
            outcomes = ingest([event(registered("c1", locker="after-the-cut"))], store.unit_of_work())
            store.checkpoint()
    except (LockstreamError, OSError) as error:
        return [str(error)]
    if not isinstance(outcomes[0], Accepted):
        return [f"a new event was not accepted: {outcomes[0]}"]
    audited(log)
    return verify(log, lambda reached: None).problems


def lost(cut: Cut) -> list[str]:
    """What was acknowledged and does not stand at its position, whatever else there is and whether or not it starts."""
    recorded: dict[str, int] = {}
    for line in cut.log.read_bytes().splitlines() if cut.log.exists() else []:
        with suppress(ValueError):
            entry = json.loads(line)
            recorded[entry["event_id"]] = entry["position"]
    return [f"{cut.folder}: {one}" for one, at in cut.acknowledged.items() if recorded.get(one) != at]
