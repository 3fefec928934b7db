"""The load generator process as the benchmark sees it: start, and result."""

from collections.abc import Sequence
from typing import Self

import msgspec

from bench.load.generator import Job
from bench.load.plan import Plan, Result
from bench.processes import LineProcess, ServerProcess


class LoadGenerator:
    """A load generator process. Once it is constructed, it has prepared its requests and waits for `start`."""

    def __init__(self, plan: Plan, *servers: ServerProcess, database_pids: Sequence[int] = ()) -> None:
        """Deal out the connections of `plan` evenly to the servers. CPU time of `database_pids` is measured, too."""
        self._process = LineProcess("-m", "bench.load.generator")
        ports, pids = [server.port for server in servers], [server.pid for server in servers]
        self._process.write_line(msgspec.json.encode(Job(plan, ports, pids, database_pids)))
        self._process.read_line()

    def start(self) -> Self:
        self._process.write_line(b"start")
        return self

    def result(self) -> Result:
        """Wait for the end, and return the result.

        Raises:
            BenchFailure: a response was unexpected.
        """
        result = msgspec.json.decode(self._process.read_line(), type=Result)
        self._process.wait()
        return result


def run_load(plan: Plan, *servers: ServerProcess, database_pids: Sequence[int] = ()) -> Result:
    """Put a load on the servers, and return its result."""
    return LoadGenerator(plan, *servers, database_pids=database_pids).start().result()
