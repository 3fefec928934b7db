"""Load on servers: the simulator, and a locker that reports all the time; and a key for servers with keys."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from itertools import count
from pathlib import Path

from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import Server, command, environment


def create_key(log: Path) -> str:
    """Create a key of a log in a file, and return its text. A server follows within a second."""
    done = command(log, "keys", "create", "test", "--scope", "read", "--scope", "events:write")
    [key] = re.findall(r"lsk_\w+", done.stdout.decode())
    return str(key)


@contextmanager
def simulated(folder: Path, servers: Sequence[Server], key: str) -> Iterator[None]:
    """Post a simulated network to each server, 3,000 times as fast as real time, until the end of the block."""
    processes = []
    for seed, server in enumerate(servers, 1):
        target = "--post", f"http://127.0.0.1:{server.port}", "--speed", "3000"
        arguments = "simulate", "--lockers", "20", "--days", "30", "--seed", str(seed), *target
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "lockstream", *arguments],
                env=environment(folder / "no-log", LOCKSTREAM_API_KEY=key),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def reporting(server: Server, pause_seconds: float = 0.2, key: str = "") -> Iterator[None]:
    """Report an event again and again until the end of the block, also while the server is away."""
    ended = threading.Event()

    def report() -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        for number in count():
            if ended.wait(pause_seconds):
                return
            with suppress(OSError, HTTPException):
                server.request("POST", "/events", json.dumps(registered(f"c{number}", locker="busy")).encode(), headers)

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
