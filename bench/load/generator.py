"""The load generator process. It prepares requests, waits for a line, sends the requests, and prints the result."""

import gc
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import cycle
from random import Random
from time import perf_counter

import msgspec

from bench.errors import BenchFailure
from bench.figures import percentile
from bench.load.client import Client
from bench.load.events import PER_LOCKER, EventGenerator, compartments_of, locker_name, refused_events
from bench.load.http import Check, expect, expect_items, get, post, post_batch
from bench.load.plan import WARM_UP_SECONDS, Plan, Reader, Result
from bench.resources import CpuMeter

EXPECTED = {"get": 200, "event": 202, "batch": 202}
"""Status of the response to each kind of request without items."""

_TIMEOUT_SECONDS = 60
"""Time that a projection has to catch up."""


class Job(msgspec.Struct, frozen=True):
    """A plan, the ports of the servers, and the processes whose CPU time is measured."""

    plan: Plan
    ports: Sequence[int]
    pids: Sequence[int]
    database_pids: Sequence[int]


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    plan = job.plan
    try:
        client = Client(job.ports, [iter(_script(plan, number)) for number in range(plan.connections)], _check(plan))
        gc.collect()
        gc.disable()  # a collection here would look like a pause of the server
        _print_line(b"ready")
        sys.stdin.buffer.readline()
        _print_line(msgspec.json.encode(_run(client, job)))
        client.close()
    except (BenchFailure, OSError) as error:
        sys.exit(f"{plan.kind}: {error}")


def arrivals(rate: float, seconds: float) -> list[float]:
    """Return when requests are due: one in each interval, at a random moment of it that is the same in every run.

    Evenly spaced requests could coincide with work that the server does at intervals.
    """
    random = Random(20261123)
    return [(number + random.random()) / rate for number in range(round(rate * seconds))]


def latencies_by_kind(readers: Sequence[Reader], counted: Iterable[tuple[float, int]]) -> dict[str, list[float]]:
    """Return the latencies of each kind of reader. `counted` are latencies with the number of the reader."""
    latencies: dict[str, list[float]] = {reader.kind: [] for reader in readers}
    for latency, number in counted if readers else ():
        latencies[readers[number].kind].append(latency)
    if missing := [kind for kind, values in latencies.items() if not values]:
        raise BenchFailure(f"No response came in the measured time to the readers of {', '.join(missing)}.")
    return latencies


def _run(client: Client, job: Job) -> Result:
    plan = job.plan
    meter = CpuMeter(contestant=job.pids, database=job.database_pids, load=[os.getpid()])
    started = perf_counter()
    if plan.rate:
        ended = client.run_open(arrivals(plan.rate, WARM_UP_SECONDS + plan.seconds))
    else:
        ended = client.run_closed(None if plan.events else WARM_UP_SECONDS + plan.seconds)
    cpu = meter.read()
    counted_from = started
    if plan.events:
        ended = client.finished[-1]
    else:
        counted_from += WARM_UP_SECONDS
    responses = zip(client.finished, client.latencies, client.numbers, strict=True)
    counted = [(latency, number) for finished, latency, number in responses if counted_from <= finished <= ended]
    if not counted:
        raise BenchFailure("No response came in the measured time, or the requests ran out before it.")
    latencies = [latency for latency, _ in counted]
    by_kind = latencies_by_kind(plan.readers, counted)
    return Result(
        requests=len(latencies),
        events=plan.events or len(latencies) * plan.per_request,
        seconds=ended - counted_from,
        caught_up_seconds=_wait_for_projection(plan) - started if plan.projection else 0,
        p50=percentile(latencies, 0.50),
        p99=percentile(latencies, 0.99),
        p95_by_kind={kind: percentile(values, 0.95) for kind, values in by_kind.items()},
        p99_by_kind={kind: percentile(values, 0.99) for kind, values in by_kind.items()},
        cpu=cpu,
    )


def _wait_for_projection(plan: Plan) -> float:
    """Return when the projection contains all events, by the position in its table `progress`."""
    deadline = perf_counter() + _TIMEOUT_SECONDS
    with closing(sqlite3.connect(f"file:{plan.projection}?mode=ro", uri=True)) as projection:
        while True:
            [(position,)] = projection.execute("SELECT position FROM progress")
            if position >= plan.events:
                return perf_counter()
            if perf_counter() > deadline:
                raise BenchFailure(f"The projection stopped at {position:,} of {plan.events:,} events.")
            time.sleep(0.002)


def _script(plan: Plan, number: int) -> Iterable[bytes]:
    """Return the requests of a connection."""
    tag = f"{plan.tag}-{number}"
    if plan.readers:
        return [get(path) for path in plan.readers[number].paths]
    if plan.kind == "get":
        lockers = range(0, plan.compartments, PER_LOCKER)
        return cycle([get(f"/lockers/{locker_name(tag, first)}") for first in lockers])
    if plan.kind == "refused":
        return [post_batch(refused_events(tag, plan.per_request)) for _ in range(_requests(plan))]
    if plan.network:
        part, parts = plan.turn * plan.connections + number, plan.turns * plan.connections
        return _posts(plan, EventGenerator(plan.network.spare_compartments(part, parts), registered=True))
    return _posts(plan, EventGenerator(compartments_of(tag, plan.compartments), registered=plan.registered))


def _requests(plan: Plan) -> int:
    """Return how many requests are prepared for a connection."""
    if not plan.events:
        rate = plan.rate * 1.5 if plan.rate else plan.max_rate
        return round(rate * (WARM_UP_SECONDS + plan.seconds) / plan.connections) + 10
    requests, rest = divmod(plan.events, plan.connections * plan.per_request)
    if rest:
        raise BenchFailure(f"{plan.events:,} events cannot be shared out evenly to {plan.connections} connections.")
    return requests


def _posts(plan: Plan, events: EventGenerator) -> list[bytes]:
    requests = _requests(plan)
    if plan.kind == "event":
        return [post("/events", event, key=plan.key) for event in events.take(requests)]
    return [post_batch(events.take(plan.per_request), plan.key) for _ in range(requests)]


def _check(plan: Plan) -> Check:
    if plan.kind == "refused":
        return expect_items(plan.per_request, 422)
    if plan.kind == "batch" and plan.itemised:
        return expect_items(plan.per_request)
    return expect(EXPECTED[plan.kind])


def _print_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
