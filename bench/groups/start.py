"""The start of a server that was killed, on a long log and with a projection that has to catch up."""

import os
import shutil
import time
from pathlib import Path

from bench.figures import GroupResult, ratios
from bench.goals import result
from bench.groups.big_log import big_log
from bench.groups.plans import thousands
from bench.load.process import run_load
from bench.processes import Lockstream, projection_files
from bench.session import Contestant, Measurement, Session


def measure(session: Session) -> GroupResult:
    log = big_log(session)
    with Lockstream(log) as server:  # after a clean stop, the projection contains the whole log
        server.wait_for_reads()
        server.stop()
    with session.folder() as copy:
        for file in projection_files(log):
            shutil.copy(file, copy)
        with Lockstream(log) as server:
            run_load(thousands(session, session.scale.behind_events, connections=2), server)
            server.kill()
        empty, behind = session.take_turns(
            [
                Contestant("start, empty log", "s", lambda: _start_on_empty_log(session)),
                Contestant("start, projection behind a big log", "s", lambda: _start_behind(log, copy)),
            ]
        )
    return GroupResult([result("start", behind.figure, ratios(behind, empty))], [empty, behind])


def _start_on_empty_log(session: Session) -> Measurement:
    with session.folder() as folder, Lockstream(folder / "log.jsonl") as server:
        return _seconds_to_first_read(server)


def _start_behind(log: Path, copy: Path) -> Measurement:
    """Put the copied projection back and start. The server is killed at the end, as at the end of the preparation."""
    for file in projection_files(log):
        file.unlink()
    for file in copy.iterdir():
        shutil.copy(file, log.parent)
    os.sync()  # so that the copies are not written while the clock runs
    with Lockstream(log) as server:
        return _seconds_to_first_read(server)


def _seconds_to_first_read(server: Lockstream) -> Measurement:
    server.wait_for_reads()
    return time.perf_counter() - server.launched, None
