"""Audit a log with other means than the product's: `json` and `hashlib`, by the published format."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from lockstream.tests.support.builders import Body
from lockstream.tests.support.processes import Server


def audited(path: Path) -> list[Body]:
    """Return the records of a log of complete lines, after checking positions, chain values and event ids."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    records: list[Body] = []
    before = b"0" * 64
    for position, line in enumerate(content.splitlines(), 1):
        hashed, _, chain = line.rpartition(b',"chain":')
        assert json.loads(chain.removesuffix(b"}")) == sha256(before + hashed).hexdigest(), f"position {position}"
        before = chain.strip(b'"}')
        records.append(json.loads(line))
        assert records[-1]["position"] == position
    assert len({record["event_id"].lower() for record in records}) == len(records)
    return records


@dataclass
class LockerCounts:
    """The counts of a locker, computed from the log."""

    compartments: set[str] = field(default_factory=set)
    active: dict[str, str] = field(default_factory=dict)
    """Compartment id by active reservation."""

    degrading: dict[str, str] = field(default_factory=dict)
    """Compartment id by open degrading fault."""

    @property
    def summary(self) -> dict[str, int]:
        return {
            "compartments": len(self.compartments),
            "active_reservations": len(self.active),
            "degraded_compartments": len(set(self.degrading.values())),
        }


def count_lockers(records: Iterable[Body]) -> dict[str, LockerCounts]:
    """Return the counts of each locker, by locker id."""
    lockers: dict[str, LockerCounts] = defaultdict(LockerCounts)
    for record in records:
        locker, payload = lockers[record["locker_id"]], record["payload"]
        match record["type"]:
            case "CompartmentRegistered":
                locker.compartments.add(payload["compartment_id"])
            case "ReservationCreated":
                locker.active[payload["reservation_id"]] = payload["compartment_id"]
            case "ParcelPickedUp" | "ReservationExpired":
                del locker.active[payload["reservation_id"]]
            case "FaultReported" if payload["severity"] >= 3:
                locker.degrading[record["event_id"]] = payload["compartment_id"]
            case "FaultCleared":
                locker.degrading.pop(payload["fault_event_id"], None)
            case _:
                pass
    return lockers


def summary_of(server: Server, locker_id: str) -> dict[str, Any]:
    """Return the counts of a locker, as a GET shows them."""
    status, body = server.get(f"/lockers/{locker_id}")
    assert status == 200
    response = json.loads(body)
    return {name: response[name] for name in ("compartments", "active_reservations", "degraded_compartments")}


def assert_shows_what_the_log_holds(server: Server) -> list[Body]:
    """Compare every locker that `server` shows with its log, and return the log's records."""
    records = audited(server.log)
    for locker_id, locker in count_lockers(records).items():
        assert summary_of(server, locker_id) == locker.summary, locker_id
    return records
