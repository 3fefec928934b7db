"""One client that nobody else disturbs: it waits for the flush and for the server, and for nothing more."""

import shutil

import msgspec

from bench.figures import Outcome, Series, ratios
from bench.goals import row
from bench.load import Plan, load
from bench.peers.disk import Flushed
from bench.processes import Peer, run
from bench.session import Contestant, Measured, Session

_RATE = 100
"""Requests a second: between two, everything falls asleep."""


def measure(session: Session) -> Outcome:
    with session.folder() as folder:
        sample = folder / "sample.jsonl"

        def plan() -> Plan:
            return Plan(tag=session.tag(), kind="event", connections=1, seconds=session.scale.seconds, rate=_RATE)

        def lone_events() -> Measured:
            with session.lockstream() as server:
                result = load(server, plan())
                shutil.copy(server.log, sample)
            return result.p50 * 1e3, result.cpu

        def bare_requests() -> Measured:
            with Peer("bare") as server:
                result = load(server, plan())
                server.stop()
            return result.p50 * 1e3, result.cpu

        def flushes() -> Measured:
            seconds = f"{session.scale.seconds}"
            told = run("-m", "bench.peers.disk", str(sample), str(folder / "log"), "1", seconds, f"{_RATE}")
            return msgspec.json.decode(told, type=Flushed).p50 * 1e3, None

        lone, bare, disk = session.take_turns(
            [
                Contestant("Lockstream, one client, p50", "ms", lone_events),
                Contestant("bare ASGI, one client, p50", "ms", bare_requests),
                Contestant("write + fdatasync of one line, p50", "ms", flushes),
            ]
        )
    needed = Series(
        "flush + bare request", "ms", [one + other for one, other in zip(bare.values, disk.values, strict=True)]
    )
    return Outcome([row("lone", f"{lone.spread().show()} ms", ratios(lone, needed))], [lone, bare, disk])
