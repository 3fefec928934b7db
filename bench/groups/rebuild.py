"""A rebuild of the projection, beside reading the log and decoding its JSON."""

import re
import time

from bench.errors import BenchFailure
from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.plans import thousands
from bench.load.process import run_load
from bench.processes import Lockstream, run
from bench.session import Contestant, Measurement, Session


def measure(session: Session) -> GroupResult:
    """Measure the time of both commands, which includes the start of Python."""
    events = session.scale.rebuild_events
    with session.folder() as folder:
        log = folder / "log.jsonl"
        with Lockstream(log) as server:
            run_load(thousands(session, events), server)
            server.stop()

        def rebuild() -> Measurement:
            started = time.perf_counter()
            output = run("-m", "lockstream", "rebuild", EVENT_LOG_PATH=str(log))
            elapsed = time.perf_counter() - started
            if not re.search(rf"from {events:,} events", output):
                raise BenchFailure(f"The rebuild did not read {events:,} events: {output}")
            return events / elapsed, None

        def decode() -> Measurement:
            started = time.perf_counter()
            run("-m", "bench.peers.log_decoder", str(log))
            return events / (time.perf_counter() - started), None

        decoded, rebuilt = session.take_turns(
            [
                Contestant("JSON decoding alone, msgspec.json.decode of each line", "events/s", decode),
                Contestant("lockstream rebuild", "events/s", rebuild),
            ]
        )
        session.tell(f"  {run('-m', 'lockstream', 'verify', EVENT_LOG_PATH=str(log)).strip()}")
    return GroupResult([result("rebuild", rebuilt.figure, ratios(rebuilt, decoded))], [decoded, rebuilt])
