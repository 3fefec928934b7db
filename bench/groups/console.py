"""Pages of the console on a network of a million compartments, while events come in.

Each kind of page has one reader, who requests the page once a second, about a random subject. Stylesheets and scripts
are not requested, because browsers cache them.
"""

from random import Random
from urllib.parse import quote

from bench.figures import GroupResult, Series
from bench.goals import result
from bench.groups.lists import POST_RATE, fill, posts
from bench.groups.plans import read_while_posting
from bench.load.plan import WARM_UP_SECONDS, Plan, Reader, Result
from bench.load.readers import Targets, random_compartment
from bench.processes import Lockstream
from bench.session import Contestant, Measurement, Session

PAGE_RATE = 1
"""Pages a second of each kind."""


def measure(session: Session) -> GroupResult:
    with session.folder() as folder:
        log = folder / "log.jsonl"
        targets = fill(session, log)
        with Lockstream(log) as server:
            server.wait_for_reads()
            measured = _measure_pages(session, server, targets)
            server.stop()
    return measured


def pages(targets: Targets, random: Random) -> dict[str, str]:
    """Return the path of each kind of page, about a random subject."""
    network = targets.network
    locker, parcel = network.random_locker(random), network.random_reservation(random)
    door = quote(random_compartment(random), safe="")
    return {
        "overview": "/console",
        "lockers": f"/console/lockers?q={locker[:-2]}",
        "a locker": f"/console/lockers/{locker}",
        "a locker's past": f"/console/lockers/{locker}?at={random.randrange(targets.events // 2, targets.events)}",
        "a door": f"/console/lockers/{locker}/compartments/{door}",
        "parcels": "/console/reservations",
        "a parcel": f"/console/reservations/{parcel}",
        "overdue": "/console/overdue",
        "faults": "/console/faults",
        "search": f"/console/search?q={locker[:-1]}",
        "feed": "/console/feed",
        "quarantine": "/console/quarantine",
        "system": "/console/system",
    }


def _measure_pages(session: Session, server: Lockstream, targets: Targets) -> GroupResult:
    kinds = list(pages(targets, Random(0)))
    series = {kind: Series(f"page of the console, {kind}, p95, {POST_RATE:,} events/s", "ms", []) for kind in kinds}

    def measure_all() -> Measurement:
        read = _read(session, server, targets, len(series[kinds[0]].values))
        for kind, one in series.items():
            one.values.append(read.p95_by_kind[kind] * 1e3)
        return max(read.p95_by_kind.values()) * 1e3, read.cpu

    (slowest,) = session.take_turns([Contestant("the slowest page of the console, p95", "ms", measure_all)])
    return GroupResult([result("console-pages", slowest.figure, slowest.spread)], [slowest, *series.values()])


def _read(session: Session, server: Lockstream, targets: Targets, repetition: int) -> Result:
    random, seconds = Random(repetition), session.scale.lists_seconds
    requests = round(2 * PAGE_RATE * (WARM_UP_SECONDS + seconds)) + 10
    chosen = [pages(targets, random) for _ in range(requests)]
    readers = [Reader(kind, [paths[kind] for paths in chosen]) for kind in chosen[0]]
    gets = Plan(
        tag="",
        kind="get",
        connections=len(readers),
        readers=readers,
        seconds=seconds,
        rate=len(readers) * PAGE_RATE,
    )
    reads, _ = read_while_posting(gets, posts(session, targets, repetition), server)
    return reads
