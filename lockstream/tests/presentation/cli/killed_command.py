"""A command that is killed in the middle of its work."""

import signal
import subprocess
import sys
from pathlib import Path

from lockstream.tests.support.processes import environment

PAUSING_COMMAND = """
import signal, sys
from lockstream.presentation.cli.main import main
from lockstream.presentation.cli.output import ProgressBar

update, enough = ProgressBar.update, int(sys.argv.pop(1))


def update_and_pause(bar, done, total):
    update(bar, done, total)
    if done >= enough:
        print("pausing", flush=True)
        signal.pause()


ProgressBar.update = update_and_pause
main()
"""
"""The command line, which says so and pauses when it has shown that enough events are done."""


def kill_after(events: int, log: Path, *arguments: str, **settings: str) -> None:
    """Start a command, and kill it with SIGKILL when it has done `events` events.

    The command pauses until then. Without the pause, it could end before the signal arrives.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PAUSING_COMMAND, str(events), *arguments],
        cwd=log.parent,
        env=environment(log, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"pausing\n", "the command ended before it could be killed"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
