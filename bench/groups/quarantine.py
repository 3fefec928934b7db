"""The cost of the quarantine for accepted events, alone and while another client sends refused events only."""

import time

from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.plans import LEAD_SECONDS, hundreds, singles
from bench.load.plan import Plan
from bench.load.process import LoadGenerator, run_load
from bench.session import Contestant, Measurement, Session

REFUSED_RATE = 1_000
"""Refused events a second, each with an id of its own. Two cores cannot handle many more beside the measured load."""


def measure(session: Session) -> GroupResult:
    """Measure servers with and without the quarantine in turns."""

    def rate(plan: Plan, quarantine: str) -> Measurement:
        with session.lockstream(LOCKSTREAM_QUARANTINE=quarantine) as server:
            return run_load(plan, server).measurement

    def rate_beside_refusals(quarantine: str) -> Measurement:
        seconds = session.scale.seconds + 2 * LEAD_SECONDS
        refused = Plan(tag=session.tag(), kind="refused", connections=8, seconds=seconds, rate=REFUSED_RATE)
        with session.lockstream(LOCKSTREAM_QUARANTINE=quarantine) as server:
            sending = LoadGenerator(refused, server).start()
            time.sleep(LEAD_SECONDS)
            measurement = run_load(singles(session), server).measurement
            sending.result()
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
