"""A disk whose flushes take 10 ms longer, simulated by strace. Only shared flushes keep the rate of events up."""

import shutil
import subprocess
from pathlib import Path

from bench.errors import BenchFailure
from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.load.plan import Plan
from bench.load.process import run_load
from bench.session import Contestant, Measurement, Session

_CALLS = "fdatasync,fsync"
_DELAY_MICROSECONDS = 10_000


def measure(session: Session) -> GroupResult:
    """Run both contestants under strace, which stops the server at flushes only."""
    _require_strace()
    usual, slow = session.take_turns(
        [
            Contestant("Lockstream under strace, 256 connections", "events/s", lambda: _traced(session, 0)),
            Contestant(
                "Lockstream under strace, 256 connections, flushes 10 ms longer",
                "events/s",
                lambda: _traced(session, _DELAY_MICROSECONDS),
            ),
        ]
    )
    return GroupResult([result("slow-disk", slow.figure, ratios(slow, usual))], [usual, slow])


def _traced(session: Session, delay: int) -> Measurement:
    plan = Plan(tag=session.tag(), kind="event", connections=256, compartments=8, seconds=session.scale.seconds)
    with session.folder() as folder:
        trace = folder / "trace"
        strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={_CALLS}"]
        if delay:
            strace += ["-e", f"inject={_CALLS}:delay_exit={delay}"]
        with session.lockstream(strace) as server:
            load = run_load(plan, server)
        _require_flushes(trace, "(DELAYED)" if delay else "sync(")
    return load.measurement


def _require_strace() -> None:
    strace = shutil.which("strace")
    if strace is None:
        raise BenchFailure("strace is not installed. Run scripts/install-test-programs.")
    if subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        raise BenchFailure(
            "strace may not trace processes on this machine. Permit ptrace, or measure the other groups."
        )


def _require_flushes(trace: Path, sign: str) -> None:
    """Check that strace saw flushes, without which a delay of each would cost nothing."""
    flushes = trace.read_text().count(sign)
    if flushes < 10:
        raise BenchFailure(f"strace saw fewer than 10 flushes: {flushes}. Check that strace can trace the server.")
