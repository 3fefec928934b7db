"""The goals: every line of the table that the benchmark answers."""

from bench.figures import Goal, Row, Spread

GOALS = (
    Goal("single", "throughput", "single events, 32 connections", "of bare ASGI", 0.40),
    Goal("single-fastapi", "throughput", "the same, against FastAPI + pydantic that does nothing", "of its rate", 1.0),
    Goal(
        "batch-100", "throughput", "batches of 100, 8 connections, events acknowledged", "× bare ASGI's requests", 3.0
    ),
    Goal("batch-1000", "sustained", "batches of 1,000, 8 connections, acknowledged", "× bare ASGI's requests", 5.0),
    Goal("caught-up", "sustained", "the same, with the projection caught up", "× bare ASGI's requests", 3.3),
    Goal("eventsourcing", "sustained", "the same, acknowledged", "× eventsourcing, 1,000 events a save", 4.0),
    Goal("big-log", "history", "batches of 1,000 on a log of 5 million", "of the rate on an empty log", 0.95),
    Goal("big-log-single", "history", "single events on a log of 5 million", "of the rate on an empty log", 0.95),
    Goal("rebuild", "rebuild", "rebuild of 1 million events", "of decode-only", 0.15),
    Goal(
        "start", "start", "start, 10,000 events behind a log of 5 million", "× the start with an empty log", 1.5, True
    ),
    Goal("get-idle", "reads", "GET of a locker, idle: p99", "× a do-nothing FastAPI GET", 2.0, True),
    Goal("get-posts", "reads", "GET of a locker while 32 clients post: p99", "× a do-nothing FastAPI GET", 4.0, True),
    Goal(
        "get-batches", "reads", "GET of a locker while batches come in: p99", "× a do-nothing FastAPI GET", 10.0, True
    ),
    Goal("per-compartment", "memory", "memory a compartment at 1 million", "bytes", 150.0, True),
    Goal("per-event", "memory", "memory an event of history", "bytes", 20.0, True),
    Goal("slow-disk", "slow-disk", "10 ms more a flush, 256 connections", "of the rate without", 0.6),
    Goal("lone", "lone", "one idle client: p50", "× (flush + bare request)", 1.5, True),
    Goal("two-nodes", "nodes", "batches of 100 to two nodes on one PostgreSQL, 8 connections", "events/s", 10_000),
    Goal("two-nodes-inserts", "nodes", "the same", "× one INSERT and commit for each event", 1.0),
)


def row(name: str, figure: str, reached: Spread) -> Row:
    return Row(next(goal for goal in GOALS if goal.name == name), figure, reached)
