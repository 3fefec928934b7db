"""The start of a server that was killed: its projection is behind, its log is long."""

import os
import shutil
import time
from pathlib import Path

from bench.errors import BenchFailure
from bench.figures import Outcome, ratios
from bench.goals import row
from bench.groups.history import big_log
from bench.groups.sustained import thousands
from bench.load import load
from bench.processes import Lockstream, projection_files
from bench.session import Contestant, Measured, Session


def measure(session: Session) -> Outcome:
    log = big_log(session)
    with Lockstream(log) as server:  # a start that has nothing to mend, so that the projection is level
        server.stop()
    with session.folder() as aside:
        for file in projection_files(log):
            shutil.copy(file, aside)
        with Lockstream(log) as server:
            load(server, thousands(session.tag(), session.scale.behind_events, connections=2))
            server.kill()
        empty, behind = session.take_turns(
            [
                Contestant("start, empty log", "s", lambda: _start_empty(session)),
                Contestant("start, behind a big log", "s", lambda: _start_behind(log, aside)),
            ]
        )
    return Outcome([row("start", f"{behind.spread().show()} s", ratios(behind, empty))], [empty, behind])


def _start_empty(session: Session) -> Measured:
    with session.folder() as folder, Lockstream(folder / "log.jsonl") as server:
        return _first_answer(server)


def _start_behind(log: Path, aside: Path) -> Measured:
    """Put the old projection back and start; it is killed afterwards, as it was before."""
    for file in projection_files(log):
        file.unlink()
    for file in aside.iterdir():
        shutil.copy(file, log.parent)
    os.sync()  # what was copied is not to be written while the clock runs
    with Lockstream(log) as server:
        return _first_answer(server)


def _first_answer(server: Lockstream) -> Measured:
    if (status := server.get("/lockers/nobody-has-this-one")) != 404:
        raise BenchFailure(f"GET of a locker that is not there was answered with {status}")
    return time.perf_counter() - server.launched, None
