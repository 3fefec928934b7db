"""A command that runs as a process of its own until it ends or is interrupted."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lockstream.tests.support.processes import (
    COVERAGE_VARIABLE,
    TIMEOUT_SECONDS,
    assert_no_key,
    environment,
    wait_until,
)

LOCKSTREAM = (sys.executable, "-m", "lockstream")


class RunningCommand:
    """A process, and its output so far. It is the leader of its own process group, as in a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, errors: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._output, self._errors = output, errors

    @property
    def output(self) -> bytes:
        """The content of standard output."""
        return self._output.read_bytes()

    @property
    def errors(self) -> str:
        """The text on standard error."""
        return self._errors.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until standard error contains a match of `pattern`, and return it."""
        wait_until(lambda: re.search(pattern, self.errors) or self._process.poll() is not None)
        found = re.search(pattern, self.errors)
        assert found, f"the command has ended:\n{self.errors}"
        return found

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self, sent: signal.Signals) -> int:
        """Send a signal, wait for the end of the process, and return its exit code."""
        self._process.send_signal(sent)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(TIMEOUT_SECONDS)


@contextmanager
def running(
    log: Path, *arguments: str, program: Sequence[str] = LOCKSTREAM, **settings: str
) -> Iterator[RunningCommand]:
    """Start a command. At the end of the block, it and its own processes are killed, if they still run.

    Its coverage is not measured: coverage holds a lock while it notes a line, and an interrupt at that moment leaves
    the lock held, so that the process waits for it without end.
    """
    variables = environment(log, **settings)
    output, errors = log.with_name("output.txt"), log.with_name("errors.txt")
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            [*program, *arguments],
            cwd=log.parent,
            env={name: value for name, value in variables.items() if name != COVERAGE_VARIABLE},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
        )
    try:
        yield RunningCommand(process, output, errors)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert_no_key(errors.read_bytes())
