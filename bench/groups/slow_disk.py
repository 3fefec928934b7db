"""A disk that takes 10 ms more for each flush, by strace: what is not flushed together waits."""

import shutil
import subprocess
from pathlib import Path

from bench.errors import BenchFailure, Skipped
from bench.figures import Outcome, ratios
from bench.goals import row
from bench.load import Plan, load
from bench.session import Contestant, Measured, Session

_CALLS = "fdatasync,fsync"
_DELAY_MICROSECONDS = 10_000


def measure(session: Session) -> Outcome:
    """Both run under strace, which stops the server at the flushes only."""
    _require_strace()
    usual, slow = session.take_turns(
        [
            Contestant("Lockstream under strace, 256 connections", "events/s", lambda: _traced(session, 0)),
            Contestant("the same, each flush 10 ms longer", "events/s", lambda: _traced(session, _DELAY_MICROSECONDS)),
        ]
    )
    return Outcome([row("slow-disk", f"{slow.spread().show()} events/s", ratios(slow, usual))], [usual, slow])


def _traced(session: Session, delay: int) -> Measured:
    with session.folder() as folder:
        calls = folder / "calls"
        strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(calls), "-e", f"trace={_CALLS}"]
        if delay:
            strace += ["-e", f"inject={_CALLS}:delay_exit={delay}"]
        with session.lockstream(strace) as server:
            result = load(
                server,
                Plan(tag=session.tag(), kind="event", connections=256, compartments=8, seconds=session.scale.seconds),
            )
        _require_flushes(calls, delay > 0)
    return result.rate, result.cpu


def _require_strace() -> None:
    strace = shutil.which("strace")
    if strace is None:
        raise Skipped("strace is not installed")
    if subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        raise Skipped("strace may not trace here")


def _require_flushes(calls: Path, delayed: bool) -> None:
    """Hold that what was to be slowed down was there: without flushes, a delay of each costs nothing."""
    seen = calls.read_text().count("(DELAYED)" if delayed else "sync(")
    if seen < 10:
        raise BenchFailure(f"strace saw {seen} flushes")
