"""Memory per compartment, and per event of history, of the server and all processes that it has started."""

from itertools import pairwise

from bench.figures import GroupResult, Series, Spread
from bench.goals import result
from bench.groups.big_log import STEPS, write_big_log
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.resources import memory
from bench.session import Contestant, Measurement, Session

CONNECTIONS = 8


def measure(session: Session) -> GroupResult:
    by_pss = Series("memory per compartment, Pss", "bytes", [])

    def compartments() -> Measurement:
        registered = session.scale.registered
        with session.lockstream() as server:
            plan = Plan(
                tag=session.tag(),
                kind="batch",
                connections=CONNECTIONS,
                per_request=1_000 if registered % (CONNECTIONS * 1_000) == 0 else 500,
                compartments=registered // CONNECTIONS,
                events=registered,
                projection=server.projection,
            )
            server.wait_for_reads()
            before = memory(server.pid)
            load = run_load(plan, server)
            after = memory(server.pid)
        by_pss.values.append((after.pss - before.pss) / registered)
        return (after.rss - before.rss) / registered, load.cpu

    (by_rss,) = session.take_turns([Contestant("memory per compartment, Rss", "bytes", compartments)])
    _, readings = write_big_log(session)
    events = session.scale.big_log_events / STEPS
    per_event = Series(
        "memory per event of history, Rss, step by step",
        "bytes",
        [(after.rss - before.rss) / events for before, after in pairwise(readings)],
    )
    steps = per_event.spread
    overall = Spread((readings[-1].rss - readings[0].rss) / (events * (STEPS - 1)), steps.low, steps.high)
    return GroupResult(
        [
            result("per-compartment", by_rss.figure, by_rss.spread),
            result("per-event", f"{overall} bytes", overall),
        ],
        [by_rss, by_pss, per_event],
    )
