"""Making the projection anew, beside reading the log and decoding it."""

import re
import time

from bench.errors import BenchFailure
from bench.figures import Outcome, ratios
from bench.goals import row
from bench.groups.sustained import thousands
from bench.load import load
from bench.processes import Lockstream, run
from bench.session import Contestant, Measured, Session


def measure(session: Session) -> Outcome:
    """Both are timed as commands, with the start of the interpreter."""
    events = session.scale.rebuild_events
    with session.folder() as folder:
        log = folder / "log.jsonl"
        with Lockstream(log) as server:
            load(server, thousands(session.tag(), events))
            server.stop()

        def rebuild() -> Measured:
            began = time.perf_counter()
            told = run("-m", "lockstream", "rebuild", EVENT_LOG_PATH=str(log))
            lasted = time.perf_counter() - began
            if not re.search(rf"from {events:,} events", told):
                raise BenchFailure(f"rebuild did not read {events:,} events: {told}")
            return events / lasted, None

        def decode() -> Measured:
            began = time.perf_counter()
            run("-m", "bench.peers.decode", str(log))
            return events / (time.perf_counter() - began), None

        decoded, rebuilt = session.take_turns(
            [
                Contestant("decode-only, msgspec.json.decode of each line", "events/s", decode),
                Contestant("lockstream rebuild", "events/s", rebuild),
            ]
        )
        told = run("-m", "lockstream", "verify", EVENT_LOG_PATH=str(log))
        session.tell(f"  after that: {told.strip()}")
    return Outcome(
        [row("rebuild", f"{rebuilt.spread().show()} events/s", ratios(rebuilt, decoded))], [decoded, rebuilt]
    )
