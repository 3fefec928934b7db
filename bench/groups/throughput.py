"""Single events and batches of 100, beside the server alone, FastAPI, two peers with the same rules, and the disk."""

import shutil
from pathlib import Path

import msgspec

from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.plans import hundreds, singles
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.peers.disk import Flushes
from bench.peers.first_version import LOG_NAME
from bench.processes import Peer, run_peer
from bench.session import Contestant, Measurement, Session

LINES_PER_FLUSH = (1, 100, 1000)


def bare(session: Session) -> Contestant:
    return Contestant("bare ASGI, 32 connections", "requests/s", lambda: _asgi_app("bare", singles(session)))


def measure(session: Session) -> GroupResult:
    many_hundreds = msgspec.structs.replace(hundreds(session), events=400_000)
    with session.folder() as folder:
        sample = folder / "sample.jsonl"

        def single_events() -> Measurement:
            with session.lockstream() as server:
                load = run_load(singles(session), server)
                shutil.copy(server.log, sample)
            return load.measurement

        def batches() -> Measurement:
            with session.lockstream() as server:
                return run_load(hundreds(session), server).measurement

        def package() -> Measurement:
            with session.folder() as peer_folder:
                return _served(Peer("eventsourcing_service", f"{peer_folder / 'events.db'}"), singles(session))

        log_lengths: list[int] = []

        def first_version() -> Measurement:
            with session.folder() as peer_folder:
                measurement = _served(Peer("first_version", f"{peer_folder}"), singles(session))
                log_lengths.append((peer_folder / LOG_NAME).read_bytes().count(b"\n"))
            return measurement

        series = session.take_turns(
            [
                bare(session),
                Contestant("Lockstream, single events, 32 connections", "events/s", single_events),
                Contestant(
                    "FastAPI + pydantic, 32 connections", "events/s", lambda: _asgi_app("fastapi", singles(session))
                ),
                Contestant("eventsourcing behind FastAPI, 32 connections", "events/s", package),
                Contestant("first version's design, 32 connections", "events/s", first_version),
                Contestant("Lockstream, batches of 100, 8 connections", "events/s", batches),
                Contestant(
                    "load generator alone, single events", "events/s", lambda: _load_generator(singles(session))
                ),
                Contestant("load generator alone, batches of 100", "events/s", lambda: _load_generator(many_hundreds)),
                *(_disk(session, sample, lines) for lines in LINES_PER_FLUSH),
            ]
        )
    ceiling, single, fastapi, _, first, hundred = series[:6]
    first.contestant += f", from an empty log to {max(log_lengths):,} events"
    return GroupResult(
        [
            result("single", single.figure, ratios(single, ceiling)),
            result("single-fastapi", single.figure, ratios(single, fastapi)),
            result("batch-100", hundred.figure, ratios(hundred, ceiling)),
        ],
        series,
    )


def _asgi_app(name: str, plan: Plan) -> Measurement:
    return _served(Peer("asgi_apps", name), plan)


def _served(peer: Peer, plan: Plan) -> Measurement:
    with peer as server:
        load = run_load(plan, server)
        server.stop()
    return load.measurement


def _load_generator(plan: Plan) -> Measurement:
    """Measure the load generator against a server that only counts bytes. No figure can be higher."""
    with Peer("canned_server", f"{plan.per_request}") as server:
        return run_load(plan, server).measurement


def _disk(session: Session, sample: Path, lines: int) -> Contestant:
    def measure_disk() -> Measurement:
        with session.folder() as folder:
            return run_peer(Flushes, "disk", sample, folder / "log", lines, 1, 0).lines_per_second, None

    unit = "line" if lines == 1 else "lines"
    return Contestant(f"write + fdatasync of {lines:,} {unit}", "lines/s", measure_disk)
