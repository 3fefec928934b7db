"""The load generator process as the benchmark sees it: start, and result."""

import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Self, cast

import msgspec

from bench.errors import BenchFailure
from bench.load.generator import Job
from bench.load.plan import Plan, Result
from bench.processes import ServerProcess, environment


class LoadGenerator:
    """A load generator process. Once it is constructed, it has prepared its requests and waits for `start`."""

    def __init__(self, plan: Plan, *servers: ServerProcess, database_pids: Sequence[int] = ()) -> None:
        """Deal out the connections of `plan` evenly to the servers. CPU time of `database_pids` is measured, too."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.generator"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        ports, pids = [server.port for server in servers], [server.pid for server in servers]
        self._write_line(msgspec.json.encode(Job(plan, ports, pids, database_pids)))
        self._read_line()

    def start(self) -> Self:
        self._write_line(b"start")
        return self

    def result(self) -> Result:
        """Wait for the end, and return the result.

        Raises:
            BenchFailure: a response was unexpected.
        """
        result = msgspec.json.decode(self._read_line(), type=Result)
        self._process.communicate()
        return result

    def _write_line(self, line: bytes) -> None:
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    def _read_line(self) -> bytes:
        line = self._stdout.readline()
        if not line:
            raise BenchFailure(self._process.communicate()[1].decode().strip())
        return line


def run_load(plan: Plan, *servers: ServerProcess, database_pids: Sequence[int] = ()) -> Result:
    """Put a load on the servers, and return its result."""
    return LoadGenerator(plan, *servers, database_pids=database_pids).start().result()
