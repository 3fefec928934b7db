"""API keys: what they cost events, with a key that is bound to the lockers that it reports for."""

from msgspec.structs import replace

from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.plans import hundreds, singles
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.processes import Lockstream, create_key
from bench.session import Contestant, Measurement, Session


def measure(session: Session) -> GroupResult:
    """Measure servers with and without keys in turns."""

    def rate(plan: Plan) -> Measurement:
        with session.lockstream() as server:
            return run_load(plan, server).measurement

    def rate_with_key(plan: Plan) -> Measurement:
        with session.folder() as folder:
            log = folder / "log.jsonl"
            key = create_key(log, "bench", "--scope", "events:write", "--locker", f"{plan.tag}*")
            with Lockstream(log) as server:
                measurement = run_load(replace(plan, key=key), server).measurement
                server.stop()
                return measurement

    series = session.take_turns(
        [
            Contestant("single events, with keys", "events/s", lambda: rate_with_key(singles(session))),
            Contestant("batches of 100, with keys", "events/s", lambda: rate_with_key(hundreds(session))),
            Contestant("single events, without keys", "events/s", lambda: rate(singles(session))),
            Contestant("batches of 100, without keys", "events/s", lambda: rate(hundreds(session))),
        ]
    )
    results = [
        result(name, with_keys.figure, ratios(with_keys, without))
        for name, with_keys, without in zip(("keys-single", "keys-batch"), series[:2], series[2:], strict=True)
    ]
    return GroupResult(results, series)
