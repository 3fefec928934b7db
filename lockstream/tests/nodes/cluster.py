"""Nodes that share one database, each a process of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.postgres import free_port
from lockstream import __version__
from lockstream.infrastructure.postgres.connection import DEFAULT_LIMITS, TimeLimits
from lockstream.tests.support.processes import SERVE, Server


@contextmanager
def cluster(
    size: int, folder: Path, url: str, programs: Sequence[Sequence[str]] = (SERVE,), **settings: str
) -> Iterator[list[Server]]:
    """Give `size` nodes that were started at once. Each has a port of its own, which it keeps after a restart.

    `programs` are the arguments of Python, for all nodes or for each; `settings` are environment variables.
    """
    with ExitStack() as running, ThreadPoolExecutor(size) as threads:
        nodes = []
        for number in range(size):
            program = programs[number % len(programs)]
            place = folder / f"node-{number + 1}"
            place.mkdir(parents=True)
            port = str(free_port())
            node = Server(place / "no-log", program=program, DATABASE_URL=url, LOCKSTREAM_PORT=port, **settings)
            nodes.append(running.enter_context(node))
        yield list(threads.map(Server.start, nodes))


def program_with(limits: TimeLimits = DEFAULT_LIMITS, min_position_seconds: float = 1) -> Sequence[str]:
    """Return the command-line arguments of a Python process that serves a node with these time limits."""
    return (
        "-c",
        "from lockstream.infrastructure.postgres.connection import TimeLimits\n"
        "from lockstream.presentation.cli.main import main\n"
        "from lockstream.services.database_deployment import DatabaseDeployment\n"
        "from lockstream.services.running import lockstream\n"
        f"DatabaseDeployment.limits = {limits!r}\n"
        f"lockstream.MIN_POSITION_SECONDS = {min_position_seconds}\n"
        "main()",
        "serve",
    )


def program_with_fast_heartbeats(version: str = __version__) -> Sequence[str]:
    """Return the command-line arguments of a Python process that serves a node of this version.

    Its heart beats 25 times as fast as usual, and a node that misses 25 heartbeats is not heard. Nothing depends on
    the speed of the machine otherwise: a stop waits until the node has left the list, and failures are reported only
    after the probe has certainly noticed that the database is away.
    """
    return (
        "-c",
        "import lockstream\n"
        f"lockstream.__version__ = {version!r}\n"
        "from lockstream.infrastructure.postgres.nodes import store\n"
        "from lockstream.presentation.cli.main import main\n"
        "from lockstream.services.running.nodes import heartbeat\n"
        "heartbeat.HEARTBEAT_SECONDS = 0.2\n"
        "heartbeat.REPORTED_FAILURES = 20\n"
        "heartbeat.STOP_SECONDS = 60\n"
        "heartbeat.UNHEARD_SECONDS = store.UNHEARD_SECONDS = 5\n"
        "main()",
        "serve",
    )
