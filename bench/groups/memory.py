"""What a compartment and an event of history keep in memory: of the server and all processes that it started."""

from itertools import pairwise

from bench.figures import Outcome, Series, Spread
from bench.goals import row
from bench.groups import history
from bench.load import Plan, load
from bench.processes import memory
from bench.session import Contestant, Measured, Session

CONNECTIONS = 8


def measure(session: Session) -> Outcome:
    shared = Series("the same, by Pss", "bytes", [])

    def compartments() -> Measured:
        registered = session.scale.registered
        with session.lockstream() as server:
            plan = Plan(
                tag=session.tag(),
                kind="batch",
                connections=CONNECTIONS,
                per_request=1_000 if registered % (CONNECTIONS * 1_000) == 0 else 500,
                compartments=registered // CONNECTIONS,
                events=registered,
                then_settled=server.projection,
            )
            server.get("/lockers/nobody-has-this-one")
            before = memory(server.pid)
            result = load(server, plan)
            after = memory(server.pid)
        shared.values.append((after["Pss"] - before["Pss"]) / registered)
        return (after["Rss"] - before["Rss"]) / registered, result.cpu

    (resident,) = session.take_turns([Contestant("memory a compartment, Rss", "bytes", compartments)])
    readings = history.build(session)
    step = session.scale.history_events / history.STEPS
    grown = Series(
        "memory an event of history, Rss, step by step",
        "bytes",
        [(after["Rss"] - before["Rss"]) / step for before, after in pairwise(readings)],
    )
    over_all = (readings[-1]["Rss"] - readings[0]["Rss"]) / (step * (history.STEPS - 1))
    spread = Spread(over_all, grown.spread().low, grown.spread().high)
    return Outcome(
        [
            row("per-compartment", f"{resident.spread().show(1)} bytes", resident.spread()),
            row("per-event", f"{spread.show(1)} bytes", spread),
        ],
        [resident, shared, grown],
    )
