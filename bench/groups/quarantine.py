"""The cost of the quarantine for accepted events, alone and while a broken locker sends refused events only."""

import time

from bench.errors import BenchFailure
from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.plans import LEAD_SECONDS, hundreds, singles
from bench.load.plan import Plan
from bench.load.process import LoadGenerator, run_load
from bench.session import Contestant, Measurement, Session

REFUSED_RATE = 5_000
"""Refused events a second, each with an id of its own: the load of a locker that sends them in a loop."""

REFUSED_A_BATCH = 100
"""Refused events in a request. As single requests, two cores cannot handle this rate beside the measured load."""

REACHED = 0.9
"""Least part of `REFUSED_RATE` at which the server must answer the refused events."""


def measure(session: Session) -> GroupResult:
    """Measure servers with and without the quarantine in turns."""

    def rate(plan: Plan, quarantine: str) -> Measurement:
        with session.lockstream(LOCKSTREAM_QUARANTINE=quarantine) as server:
            return run_load(plan, server).measurement

    def rate_beside_refusals(quarantine: str) -> Measurement:
        seconds = session.scale.seconds + 2 * LEAD_SECONDS
        refused = Plan(
            tag=session.tag(),
            kind="refused",
            connections=1,
            per_request=REFUSED_A_BATCH,
            seconds=seconds,
            rate=REFUSED_RATE / REFUSED_A_BATCH,
        )
        with session.lockstream(LOCKSTREAM_QUARANTINE=quarantine) as server:
            sending = LoadGenerator(refused, server).start()
            time.sleep(LEAD_SECONDS)
            measurement = run_load(singles(session), server).measurement
            refused_rate = sending.result().rate
        if refused_rate < REACHED * REFUSED_RATE:
            raise BenchFailure(f"{refused_rate:,.0f} refused events a second were answered, not {REFUSED_RATE:,}.")
        return measurement

    def contestants(quarantine: str, name: str) -> list[Contestant]:
        beside = f"single events beside {REFUSED_RATE:,} refused ones a second, {name}"
        return [
            Contestant(f"single events, {name}", "events/s", lambda: rate(singles(session), quarantine)),
            Contestant(f"batches of 100, {name}", "events/s", lambda: rate(hundreds(session), quarantine)),
            Contestant(beside, "events/s", lambda: rate_beside_refusals(quarantine)),
        ]

    series = session.take_turns(
        [*contestants("true", "with the quarantine"), *contestants("false", "without the quarantine")]
    )
    names = "quarantine-single", "quarantine-batch", "quarantine-refused"
    results = [
        result(name, with_it.figure, ratios(with_it, without))
        for name, with_it, without in zip(names, series[:3], series[3:], strict=True)
    ]
    return GroupResult(results, series)
