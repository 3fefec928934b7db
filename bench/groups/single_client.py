"""The latency of a single client, beside that of a flush and of a request to the bare server."""

import shutil

from bench.figures import GroupResult, Series, ratios
from bench.goals import result
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.peers.disk import Flushes
from bench.processes import Peer, run_peer
from bench.session import Contestant, Measurement, Session

_RATE = 100
"""Requests a second, few enough that the processes sleep between two."""


def measure(session: Session) -> GroupResult:
    with session.folder() as folder:
        sample = folder / "sample.jsonl"

        def plan() -> Plan:
            return Plan(tag=session.tag(), kind="event", connections=1, seconds=session.scale.seconds, rate=_RATE)

        def events() -> Measurement:
            with session.lockstream() as server:
                load = run_load(plan(), server)
                shutil.copy(server.log, sample)
            return load.p50 * 1e3, load.cpu

        def bare_requests() -> Measurement:
            with Peer("asgi_apps", "bare") as server:
                load = run_load(plan(), server)
                server.stop()
            return load.p50 * 1e3, load.cpu

        def flushes() -> Measurement:
            arguments = sample, folder / "log", 1, session.scale.seconds, _RATE
            return run_peer(Flushes, "disk", *arguments).p50 * 1e3, None

        single, bare, disk = session.take_turns(
            [
                Contestant("Lockstream, one client, p50", "ms", events),
                Contestant("bare ASGI, one client, p50", "ms", bare_requests),
                Contestant("write + fdatasync of 1 line, p50", "ms", flushes),
            ]
        )
    both = [request + flush for request, flush in zip(bare.values, disk.values, strict=True)]
    ratio = ratios(single, Series("flush + bare ASGI", "ms", both))
    return GroupResult([result("single-client", single.figure, ratio)], [single, bare, disk])
