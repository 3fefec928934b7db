"""Rates on a log of millions of events, beside those on an empty log."""

from pathlib import Path

from bench.figures import GroupResult, Series, ratios
from bench.goals import result
from bench.groups.plans import singles, thousands
from bench.load.process import run_load
from bench.processes import Lockstream
from bench.resources import Memory, memory
from bench.session import Contestant, Measurement, Session

STEPS = 5
"""Steps in which the big log is written. The server's memory is read after each step."""


def big_log(session: Session) -> Path:
    """Return the big log of this run, and write it if no group has done so. Measurements may append to it."""
    return session.big_log or write_big_log(session)[0]


def write_big_log(session: Session) -> tuple[Path, list[Memory]]:
    """Write the big log through the batch endpoint. Return it, and the server's memory after each step."""
    log, readings = session.kept_folder() / "log.jsonl", []
    with Lockstream(log) as server:
        for step in range(1, STEPS + 1):
            session.tell(f"writing the big log, {step}/{STEPS}")
            run_load(thousands(session, session.scale.big_log_events // STEPS), server)
            readings.append(memory(server.pid))
        server.stop()
    session.big_log = log
    return log, readings


def measure(session: Session) -> GroupResult:
    log = big_log(session)
    single_empty = Series("Lockstream, single events, empty log", "events/s", [])
    single_big = Series("Lockstream, single events, big log", "events/s", [])

    def batches_then_singles(server: Lockstream, single: Series) -> Measurement:
        load = run_load(thousands(session, session.scale.burst_events), server)
        single.values.append(run_load(singles(session), server).rate)
        return load.measurement

    def on_empty_log() -> Measurement:
        with session.lockstream() as server:
            return batches_then_singles(server, single_empty)

    def on_big_log() -> Measurement:
        with Lockstream(log) as server:
            measurement = batches_then_singles(server, single_big)
            server.stop()
        return measurement

    empty, big = session.take_turns(
        [
            Contestant("Lockstream, batches of 1,000, empty log", "events/s", on_empty_log),
            Contestant("Lockstream, batches of 1,000, big log", "events/s", on_big_log),
        ]
    )
    return GroupResult(
        [
            result("big-log", big.figure, ratios(big, empty)),
            result("big-log-single", single_big.figure, ratios(single_big, single_empty)),
        ],
        [empty, big, single_empty, single_big],
    )
