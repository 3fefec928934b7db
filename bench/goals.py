"""The goals that the benchmark holds Lockstream to, in the order of the table."""

from bench.figures import Goal, GoalResult, Spread

_BUSY_NETWORK = "1 million compartments, 50 readers, 1,000 events/s"

GOALS = (
    Goal("single", "throughput", "single events, 32 connections", "of bare ASGI", 0.35),
    Goal(
        "single-fastapi", "throughput", "single events, 32 connections", "of FastAPI + pydantic that does nothing", 1.0
    ),
    Goal("batch-100", "throughput", "batches of 100, 8 connections", "× bare ASGI's requests", 2.0),
    Goal("batch-1000", "sustained", "batches of 1,000, 8 connections", "× bare ASGI's requests", 2.5),
    Goal(
        "caught-up", "sustained", "batches of 1,000 until the projection has caught up", "× bare ASGI's requests", 2.2
    ),
    Goal(
        "eventsourcing",
        "sustained",
        "batches of 1,000, 8 connections",
        "× eventsourcing on SQLite, 1,000 events a save",
        1.0,
    ),
    Goal("big-log", "big-log", "batches of 1,000 on a log of 5 million", "of the rate on an empty log", 0.95),
    Goal("big-log-single", "big-log", "single events on a log of 5 million", "of the rate on an empty log", 0.95),
    Goal("rebuild", "rebuild", "rebuild of 1 million events", "of JSON decoding alone", 0.15),
    Goal(
        "start", "start", "start, 50,000 events behind a log of 5 million", "× the start with an empty log", 1.5, True
    ),
    Goal("get-idle", "reads", "GET of a locker, idle: p99", "× a do-nothing FastAPI GET", 1.5, True),
    Goal("get-posts", "reads", "GET of a locker while 32 clients post: p99", "× a do-nothing FastAPI GET", 4.0, True),
    Goal(
        "get-batches",
        "reads",
        "GET of a locker while 8 clients post batches of 1,000: p99",
        "× a do-nothing FastAPI GET",
        8.0,
        True,
    ),
    Goal("read-subjects", "lists", f"single subjects, {_BUSY_NETWORK}: p99", "ms", 20.0, True),
    Goal("read-lists", "lists", f"lists, {_BUSY_NETWORK}: p99", "ms", 50.0, True),
    Goal("read-histories", "lists", f"histories, {_BUSY_NETWORK}: p99", "ms", 50.0, True),
    Goal("read-past-states", "lists", f"past states, {_BUSY_NETWORK}: p99", "ms", 50.0, True),
    Goal(
        "console-pages",
        "console",
        "pages of the console, 1 million compartments, 1,000 events/s: p95",
        "ms",
        150.0,
        True,
    ),
    Goal("lockers-page", "lists", "page 1,000 of lockers: p50", "× the first page", 1.2, True),
    Goal("reservations-page", "lists", "page 1,000 of reservations: p50", "× the first page", 1.2, True),
    Goal("history-page", "lists", "page 1,000 of a locker's 100,000 events: p50", "× the first page", 1.2, True),
    Goal("past-state", "lists", "past state, in the middle of a locker's 100,000 events: p50", "ms", 300.0, True),
    Goal(
        "catch-up",
        "feed",
        "a reader that catches up on a log of 5 million, NDJSON, while 1,000 events/s come in",
        "events/s",
        100_000,
    ),
    Goal(
        "streams-rate",
        "feed",
        "single events that were accepted, of 1,000 posted a second, with 1,000 open streams",
        "of the rate without streams",
        0.85,
    ),
    Goal(
        "streams-cpu",
        "feed",
        "server's CPU time, 1,000 events posted a second, with 1,000 open streams",
        "× without streams",
        1.15,
        True,
    ),
    Goal("stream-memory", "feed", "server's memory for each of 1,000 open streams", "KiB", 64.0, True),
    Goal("quarantine-single", "quarantine", "single events, with the quarantine", "of the rate without", 0.97),
    Goal("quarantine-batch", "quarantine", "batches of 100, with the quarantine", "of the rate without", 0.97),
    Goal(
        "quarantine-refused",
        "quarantine",
        "single events beside 5,000 refused ones a second, with the quarantine",
        "of the rate without",
        0.97,
    ),
    Goal("keys-single", "keys", "single events, with keys", "of the rate without keys", 0.97),
    Goal("keys-batch", "keys", "batches of 100, with keys", "of the rate without keys", 0.97),
    Goal("metrics-single", "metrics", "single events, scraped each second", "of the rate without metrics", 0.98),
    Goal("metrics-batch", "metrics", "batches of 100, scraped each second", "of the rate without metrics", 0.98),
    Goal("per-compartment", "memory", "memory per compartment, at 1 million", "bytes", 140.0, True),
    Goal("per-event", "memory", "memory per event of history", "bytes", 20.0, True),
    Goal("slow-disk", "slow-disk", "flushes 10 ms longer, 256 connections", "of the rate without", 0.6),
    Goal("single-client", "single-client", "single events, one idle client: p50", "× (flush + bare ASGI)", 1.4, True),
    Goal("two-nodes", "nodes", "batches of 100 to two nodes on one PostgreSQL, 8 connections", "events/s", 25_000),
    Goal(
        "two-nodes-inserts",
        "nodes",
        "batches of 100 to two nodes on one PostgreSQL, 8 connections",
        "× one INSERT and commit per event",
        1.0,
    ),
)


def result(name: str, figure: str, ratio: Spread) -> GoalResult:
    """Return the result of the goal `name`."""
    return GoalResult(next(goal for goal in GOALS if goal.name == name), figure, ratio)
