"""The log read by other means than the product's: `json` and `hashlib`, by the words of its own description."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from lockstream.tests.crash.server import Server
from lockstream.tests.given import Body


def audited(path: Path) -> list[Body]:
    """Each record of a log of whole lines; its positions have no gap, its chain is right, no event is there twice."""
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
class Counted:
    """What a locker holds, by the log."""

    compartments: set[str] = field(default_factory=set)
    active: dict[str, str] = field(default_factory=dict)
    """Compartment by reservation."""

    degrading: dict[str, str] = field(default_factory=dict)
    """Compartment by fault."""

    @property
    def shown(self) -> dict[str, int]:
        return {
            "compartments": len(self.compartments),
            "active_reservations": len(self.active),
            "degraded_compartments": len(set(self.degrading.values())),
        }


def counted(records: Iterable[Body]) -> dict[str, Counted]:
    """Each locker by its id."""
    lockers: dict[str, Counted] = defaultdict(Counted)
    for record in records:
        locker, payload = lockers[record["locker_id"]], record["payload"]
        kind: str = record["type"]
        match kind:
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


def shown(server: Server, locker_id: str) -> dict[str, Any]:
    """The counts of a locker, as a GET shows them."""
    status, body = server.get(f"/lockers/{locker_id}")
    assert status == 200
    answer = json.loads(body)
    return {name: answer[name] for name in ("compartments", "active_reservations", "degraded_compartments")}


def assert_shows_what_the_log_holds(server: Server) -> list[Body]:
    """Hold every locker that `server` shows to its log; returns the log's records."""
    records = audited(server.log)
    for locker_id, locker in counted(records).items():
        assert shown(server, locker_id) == locker.shown, locker_id
    return records
