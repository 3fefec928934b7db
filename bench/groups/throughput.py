"""Single events and batches of 100, beside what the server, FastAPI and the disk cost without Lockstream."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.figures import Outcome, ratios
from bench.goals import row
from bench.load import Plan, load
from bench.peers.disk import Flushed
from bench.processes import Peer, run
from bench.session import Contestant, Measured, Session

LINES_A_FLUSH = (1, 100, 1000)


def singles(session: Session) -> Plan:
    return Plan(tag=session.tag(), kind="event", connections=32, seconds=session.scale.seconds)


def hundreds(session: Session) -> Plan:
    return Plan(
        tag=session.tag(),
        kind="batch",
        connections=8,
        per_request=100,
        compartments=128,
        seconds=session.scale.seconds,
        at_most=2_000,
    )


def bare(session: Session) -> Contestant:
    return Contestant("bare ASGI, 32 connections", "requests/s", lambda: _peer("bare", singles(session)))


def measure(session: Session) -> Outcome:
    at_once = msgspec.structs.replace(hundreds(session), events=400_000)
    with session.folder() as folder:
        sample = folder / "sample.jsonl"

        def single_events() -> Measured:
            with session.lockstream() as server:
                result = load(server, singles(session))
                shutil.copy(server.log, sample)
            return result.rate, result.cpu

        def batches() -> Measured:
            with session.lockstream() as server:
                result = load(server, hundreds(session))
            return result.rate, result.cpu

        series = session.take_turns(
            [
                bare(session),
                Contestant("Lockstream, single events, 32 connections", "events/s", single_events),
                Contestant(
                    "FastAPI + pydantic, 32 connections", "events/s", lambda: _peer("fastapi", singles(session))
                ),
                Contestant("Lockstream, batches of 100, 8 connections", "events/s", batches),
                Contestant("load generator alone, single events", "events/s", lambda: _alone(singles(session))),
                Contestant("load generator alone, batches of 100", "events/s", lambda: _alone(at_once)),
                *(
                    Contestant(f"write + fdatasync, {lines} lines each", "lines/s", _disk(session, sample, lines))
                    for lines in LINES_A_FLUSH
                ),
            ]
        )
    ceiling, single, fastapi, hundred = series[:4]
    return Outcome(
        [
            row("single", f"{single.spread().show()} events/s", ratios(single, ceiling)),
            row("single-fastapi", f"{single.spread().show()} events/s", ratios(single, fastapi)),
            row("batch-100", f"{hundred.spread().show()} events/s", ratios(hundred, ceiling)),
        ],
        series,
    )


def _peer(name: str, plan: Plan) -> Measured:
    with Peer(name) as server:
        result = load(server, plan)
        server.stop()
    return result.rate, result.cpu


def _alone(plan: Plan) -> Measured:
    """The load generator against a server that does nothing but count bytes: no faster can anything be measured."""
    with Peer("answerer", str(plan.per_request)) as server:
        result = load(server, plan)
    return result.rate, result.cpu


def _disk(session: Session, sample: Path, lines: int) -> Callable[[], Measured]:
    def measure_disk() -> Measured:
        with session.folder() as folder:
            told = run("-m", "bench.peers.disk", str(sample), str(folder / "log"), f"{lines}", "1", "0")
        return msgspec.json.decode(told, type=Flushed).lines_a_second, None

    return measure_disk
