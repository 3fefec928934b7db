"""The load generator, a process of its own: `python -m bench.load` reads a plan, gets ready, waits, and tells."""

import gc
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import cycle
from random import Random
from time import perf_counter
from typing import IO, Literal, cast

import msgspec
from msgspec import Struct

from bench.client import Client
from bench.errors import BenchFailure
from bench.figures import Cpu, percentile
from bench.lives import PER_LOCKER, Lives, locker_name
from bench.meter import Meter
from bench.processes import Target, environment
from bench.wire import Check, expect, expect_items, get, post, post_events

_PATIENCE_SECONDS = 60
"""For a projection to catch up."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to send. Either so many `events`, or for `seconds` after a `warm_up` that is not counted."""

    tag: str
    """Begins the names of the lockers."""
    kind: Literal["event", "batch", "get"]
    connections: int
    per_request: int = 1
    """Events."""
    compartments: int = 32
    """Of each connection, which plays them alone: so its events come in the order in which they can be accepted."""
    registered: bool = False
    """Whether the compartments are there."""
    itemised: bool = True
    """Whether a batch is answered event by event; a peer ignores it and answers 202."""
    events: int = 0
    seconds: float = 0
    warm_up: float = 0.5
    rate: float = 0
    """Requests a second, if they come on time rather than after each other's answers."""
    at_most: int = 60_000
    """Requests a second that can be had from one server: so many are made beforehand."""
    then_settled: str = ""
    """The file of a projection: when all is acknowledged, it is waited for until it holds all `events`."""


class _Job(Struct, frozen=True):
    plan: Plan
    ports: Sequence[int]
    pids: Sequence[int]
    """Whose CPU time is told."""
    database_pids: Sequence[int]


class Result(Struct, frozen=True):
    requests: int
    """Of the measured time."""
    events: int
    seconds: float
    caught_up_seconds: float
    """From the beginning until the projection held them all, where it was waited for."""
    p50: float
    """Seconds, like the next."""
    p99: float
    cpu: Cpu
    """Over the whole run."""

    @property
    def rate(self) -> float:
        """Events a second; requests, for a load of GETs."""
        return self.events / self.seconds


class Load:
    """The other end of the process. It is ready when it is made; then comes `go`, then `result`."""

    def __init__(self, server: Target, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._say(msgspec.json.encode(_Job(plan, server.ports, server.pids, server.database_pids)))
        self._hear()

    def go(self) -> "Load":
        self._say(b"go")
        return self

    def result(self) -> Result:
        """Wait for the end.

        Raises:
            BenchFailure: an answer was not as expected.
        """
        result = msgspec.json.decode(self._hear(), type=Result)
        self._process.communicate()
        return result

    def _say(self, line: bytes) -> None:
        self._stdin.write(line + b"\n")
        self._stdin.flush()

    def _hear(self) -> bytes:
        line = self._stdout.readline()
        if not line:
            raise BenchFailure(self._process.communicate()[1].decode().strip())
        return line


def load(server: Target, plan: Plan) -> Result:
    """Put a load on `server`, to its end."""
    return Load(server, plan).go().result()


def arrivals(rate: float, seconds: float) -> list[float]:
    """When requests are due: one in each interval, at a moment of its own that is the same in every run.

    Evenly spaced ones could beat with what the server does at intervals.
    """
    chance = Random(20261123)
    return [(number + chance.random()) / rate for number in range(round(rate * seconds))]


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Job)
    plan = job.plan
    try:
        client = Client(job.ports, [iter(script) for script in _scripts(plan)], _check(plan))
        gc.collect()
        gc.disable()  # nothing here has cycles; a pause would be taken for the server's
        _tell(b"ready")
        sys.stdin.buffer.readline()
        _tell(msgspec.json.encode(_run(client, job)))
        client.close()
    except (BenchFailure, OSError) as error:
        sys.exit(f"{plan.kind}: {error}")


def _run(client: Client, job: _Job) -> Result:
    plan = job.plan
    meter = Meter(contestant=job.pids, database=job.database_pids, load=[os.getpid()])
    began = perf_counter()
    if plan.rate:
        ended = client.run_open(arrivals(plan.rate, plan.warm_up + plan.seconds))
    else:
        ended = client.run_closed(None if plan.events else plan.warm_up + plan.seconds)
    cpu = meter.read()
    counted_from = began
    if plan.events:
        ended = client.finished[-1]
    else:
        counted_from += plan.warm_up
    latencies = [
        latency
        for finished, latency in zip(client.finished, client.latencies, strict=True)
        if counted_from <= finished <= ended
    ]
    if not latencies:
        raise BenchFailure("no answer came in the measured time, or the requests ran out before it")
    return Result(
        requests=len(latencies),
        events=plan.events or len(latencies) * plan.per_request,
        seconds=ended - counted_from,
        caught_up_seconds=_settled(plan) - began if plan.then_settled else 0,
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
        cpu=cpu,
    )


def _settled(plan: Plan) -> float:
    """When the projection held all events, by its own account."""
    deadline = perf_counter() + _PATIENCE_SECONDS
    with closing(sqlite3.connect(f"file:{plan.then_settled}?mode=ro", uri=True)) as projection:
        while True:
            [(position,)] = projection.execute("SELECT position FROM progress")
            if position >= plan.events:
                return perf_counter()
            if perf_counter() > deadline:
                raise BenchFailure(f"the projection has come to {position:,} of {plan.events:,} events, and no further")
            time.sleep(0.002)


def _scripts(plan: Plan) -> Iterator[Iterator[bytes] | list[bytes]]:
    for number in range(plan.connections):
        tag = f"{plan.tag}-{number}"
        if plan.kind == "get":
            lockers = range(0, plan.compartments, PER_LOCKER)
            yield cycle([get(f"/lockers/{locker_name(tag, first)}") for first in lockers])
        else:
            yield _posts(plan, Lives(tag, plan.compartments, registered=plan.registered))


def _posts(plan: Plan, lives: Lives) -> list[bytes]:
    """The requests of one connection."""
    if plan.events:
        each, rest = divmod(plan.events, plan.connections * plan.per_request)
        if rest:
            raise BenchFailure(f"{plan.events} events cannot be shared out evenly")
    else:
        rate = plan.rate * 1.5 if plan.rate else plan.at_most
        each = round(rate * (plan.warm_up + plan.seconds) / plan.connections) + 10
    if plan.kind == "event":
        return [post("/events", event) for event in lives.take(each)]
    return [post_events(lives.take(plan.per_request)) for _ in range(each)]


def _check(plan: Plan) -> Check:
    if plan.kind == "batch" and plan.itemised:
        return expect_items(plan.per_request)
    return expect(200 if plan.kind == "get" else 202)


def _tell(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
