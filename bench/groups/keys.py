"""The cost of API keys for events. The key is bound to the lockers whose events it reports."""

from msgspec.structs import replace

from bench.figures import GroupResult
from bench.groups.plans import compare
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.processes import Lockstream, create_key
from bench.session import Measurement, Session


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

    return compare(session, "keys", rate_with_key, rate)
