"""Audit a log with other means than the product's: `json` and `hashlib`, by the published format."""

import json
from hashlib import sha256
from operator import attrgetter
from pathlib import Path

from lockstream.tests.support.builders import Body
from lockstream.tests.support.processes import Server
from lockstream.tests.support.read_audit import Replay, read_all


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


def assert_shows_what_the_log_holds(server: Server) -> list[Body]:
    """Compare every locker and every list that `server` shows with its log, and return the log's records."""
    records = audited(server.log)
    replay = Replay(records)
    for reading in sorted(read_all(server, records), key=attrgetter("shown")):
        assert reading.position == len(records) or reading.read.is_past, reading.url
        problem = reading.problem(replay.at(reading.shown))
        assert problem is None, problem
    model = replay.at(len(records)).model
    for locker_id in model.lockers():
        assert _counts_of(server, locker_id) == model.counts(locker_id), locker_id
    return records


def _counts_of(server: Server, locker_id: str) -> tuple[int, int, int]:
    """Return the counts of a locker, as a GET shows them."""
    status, body = server.get(f"/lockers/{locker_id}")
    assert status == 200
    shown = json.loads(body)
    return shown["compartments"], shown["active_reservations"], shown["degraded_compartments"]
