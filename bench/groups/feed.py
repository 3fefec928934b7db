"""The feed: a reader that catches up while events come in, and many streams at the head of the log."""

import time

from bench.errors import BenchFailure
from bench.figures import GroupResult, Series, ratios
from bench.goals import result
from bench.groups.big_log import big_log
from bench.groups.plans import LEAD_SECONDS
from bench.load.followers import Streams, catch_up
from bench.load.plan import Plan, Result
from bench.load.process import LoadGenerator
from bench.processes import Lockstream, ServerProcess
from bench.resources import memory
from bench.session import Contestant, Measurement, Session

POST_RATE = 1_000
"""Single events a second that are posted during the measurements."""

_CONNECTIONS = 32


def measure(session: Session) -> GroupResult:
    return GroupResult.of([_measure_catching_up(session), _measure_streams(session)])


def _measure_catching_up(session: Session) -> GroupResult:
    latencies = Series("Lockstream, single events, p99, while a reader catches up", "ms", [])
    with Lockstream(big_log(session)) as server:
        server.wait_for_reads()

        def rate() -> Measurement:
            posting = _posting(session, server)
            time.sleep(LEAD_SECONDS)
            caught_up = catch_up(server, session.scale.lists_seconds)
            latencies.values.append(_kept_up(posting.result()).p99 * 1e3)
            return caught_up, None

        title = f"a reader catches up, NDJSON, {POST_RATE:,} events/s come in"
        (read,) = session.take_turns([Contestant(title, "events/s", rate)])
        server.stop()
    return GroupResult([result("catch-up", read.figure, read.spread)], [read, latencies])


def _measure_streams(session: Session) -> GroupResult:
    """Compare ingestion and the server's CPU time with and without open streams, and measure the memory of a stream.

    With and without streams, the same number of events a second are posted.
    """
    count = session.scale.streams
    posted = f"{POST_RATE:,} single events posted a second"
    with_title, without_title = f"{posted}, {count:,} open streams", f"{posted}, no streams"
    accepted_with = Series(f"accepted: {with_title}", "events/s", [])
    accepted_without = Series(f"accepted: {without_title}", "events/s", [])
    latencies_with = Series(f"p99 of the posts: {with_title}", "ms", [])
    latencies_without = Series(f"p99 of the posts: {without_title}", "ms", [])
    per_stream = Series(f"server's memory for a stream: {with_title}", "KiB", [])
    received = Series(f"received by all streams: {with_title}", "MB/s", [])

    def with_streams() -> Measurement:
        with session.lockstream(LOCKSTREAM_STREAM_LIMIT=f"{count}") as server:
            _posting(session, server).result()
            before = memory(server.pid).rss
            with Streams(server, count) as streams:
                posts = _posting(session, server).result()
                per_stream.values.append((memory(server.pid).rss - before) / 1024 / count)
                followed = streams.result()
        received.values.append(followed.rate / 1e6)
        accepted_with.values.append(posts.rate)
        latencies_with.values.append(posts.p99 * 1e3)
        return _cpu_percent(posts)

    def without_streams() -> Measurement:
        with session.lockstream() as server:
            _posting(session, server).result()
            posts = _posting(session, server).result()
        accepted_without.values.append(posts.rate)
        latencies_without.values.append(posts.p99 * 1e3)
        return _cpu_percent(posts)

    with_them, without = session.take_turns(
        [
            Contestant(f"server's CPU time: {with_title}", "% of a core", with_streams),
            Contestant(f"server's CPU time: {without_title}", "% of a core", without_streams),
        ]
    )
    return GroupResult(
        [
            result("streams-rate", accepted_with.figure, ratios(accepted_with, accepted_without)),
            result("streams-cpu", with_them.figure, ratios(with_them, without)),
            result("stream-memory", per_stream.figure, per_stream.spread),
        ],
        [
            *(accepted_with, accepted_without, latencies_with, latencies_without),
            *(with_them, without, per_stream, received),
        ],
    )


def _cpu_percent(posts: Result) -> Measurement:
    return 100 * posts.cpu.contestant, posts.cpu


def _kept_up(posts: Result) -> Result:
    """Return the result of posts. Raises BenchFailure if the server did not keep up with them."""
    if posts.rate < 0.95 * POST_RATE:
        raise BenchFailure(f"The server accepted {posts.rate:,.0f} of {POST_RATE:,} events/s.")
    return posts


def _posting(session: Session, server: ServerProcess) -> LoadGenerator:
    """Start to post single events at `POST_RATE`."""
    seconds = session.scale.lists_seconds + 2 * LEAD_SECONDS
    plan = Plan(
        tag=session.tag(), kind="event", connections=_CONNECTIONS, compartments=64, seconds=seconds, rate=POST_RATE
    )
    return LoadGenerator(plan, server).start()
