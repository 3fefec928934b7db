"""A log of millions of events, against an empty one."""

import shutil
from pathlib import Path

from bench.figures import Outcome, Series, ratios
from bench.goals import row
from bench.groups.sustained import thousands
from bench.groups.throughput import singles
from bench.load import load
from bench.processes import Lockstream, memory
from bench.session import Contestant, Measured, Session

STEPS = 5
"""In which the log is written, to see how the server's memory grows."""


def big_log(session: Session) -> Path:
    """The log that is kept, or a new one. Its projection is level with it; measurements may add to both."""
    log = _path(session)
    if not _finished(log).exists():
        build(session)
    return log


def build(session: Session) -> list[dict[str, int]]:
    """Write it anew through the batch endpoint. The server's memory after each of the `STEPS`, see `memory`."""
    log, readings = _path(session), []
    shutil.rmtree(log.parent, ignore_errors=True)
    log.parent.mkdir(parents=True)
    with Lockstream(log) as server:
        for step in range(1, STEPS + 1):
            session.tell(f"writing the big log, {step}/{STEPS}")
            load(server, thousands(session.tag(), session.scale.history_events // STEPS))
            readings.append(memory(server.pid))
        server.stop()
    _finished(log).touch()
    return readings


def measure(session: Session) -> Outcome:
    log = big_log(session)
    single: dict[str, Series] = {
        "big": Series("Lockstream, single events, big log", "events/s", []),
        "empty": Series("Lockstream, single events, empty log", "events/s", []),
    }

    def burst(server: Lockstream, name: str) -> Measured:
        result = load(server, thousands(session.tag(), session.scale.history_burst))
        single[name].values.append(load(server, singles(session)).rate)
        return result.rate, result.cpu

    def on_empty() -> Measured:
        with session.lockstream() as server:
            return burst(server, "empty")

    def on_big() -> Measured:
        with Lockstream(log) as server:
            measured = burst(server, "big")
            server.stop()
        return measured

    empty, big = session.take_turns(
        [
            Contestant("Lockstream, batches of 1,000, empty log", "events/s", on_empty),
            Contestant("Lockstream, batches of 1,000, big log", "events/s", on_big),
        ]
    )
    return Outcome(
        [
            row("big-log", f"{big.spread().show()} events/s", ratios(big, empty)),
            row("big-log-single", f"{single['big'].spread().show()} events/s", ratios(single["big"], single["empty"])),
        ],
        [empty, big, single["empty"], single["big"]],
    )


def _path(session: Session) -> Path:
    return session.cache / f"history-{session.scale.history_events}" / "log.jsonl"


def _finished(log: Path) -> Path:
    return log.parent / "finished"
