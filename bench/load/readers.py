"""The readers of a network: operators with a browser. Each reader requests one kind of paths, about random subjects."""

from collections.abc import Callable
from enum import StrEnum
from random import Random

from msgspec import Struct

from bench.load.network import PER_LOCKER, Network, compartment_name
from bench.load.plan import Reader


class Kind(StrEnum):
    """Kind of a reader."""

    SUBJECTS = "single subjects"
    LISTS = "lists"
    HISTORIES = "histories"
    PAST = "past states"


_TURNS = (
    *(Kind.SUBJECTS, Kind.LISTS, Kind.HISTORIES, Kind.SUBJECTS, Kind.LISTS, Kind.PAST),
    *(Kind.SUBJECTS, Kind.LISTS, Kind.HISTORIES, Kind.PAST),
)
"""The kinds of ten readers, in the order of their requests."""


class Targets(Struct, frozen=True):
    """A network whose events are in the log of a server, with the figures that its readers need."""

    network: Network
    events: int
    """Number of events of the network. They are the first ones of the log."""
    changed_before: str
    """A time at which about half of the events had been recorded, as RFC 3339 in UTC."""


def readers(targets: Targets, number: int, requests: int, random: Random) -> list[Reader]:
    """Return a number of readers, each with paths for a number of requests. `random` chooses the subjects."""
    kinds = [_TURNS[reader % len(_TURNS)] for reader in range(number)]
    return [Reader(kind, [_PATHS[kind](targets, random) for _ in range(requests)]) for kind in kinds]


def _single_subject(targets: Targets, random: Random) -> str:
    locker, reservation = targets.network.random_locker(random), targets.network.random_reservation(random)
    paths = (
        f"/lockers/{locker}",
        f"/lockers/{locker}/state",
        f"/lockers/{locker}/compartments/{random_compartment(random)}",
        f"/reservations/{reservation}",
        f"/reservations/{reservation}/state",
    )
    return random.choice(paths)


def _list(targets: Targets, random: Random) -> str:
    network = targets.network
    locker, reservation = network.random_locker(random), network.random_reservation(random)
    paths = (
        "/network",
        f"/lockers?q={locker[:-2]}",
        "/lockers?available=true",
        "/lockers?available=false",
        f"/lockers?degraded=true&q={locker[:-3]}",
        f"/lockers/{locker}/compartments",
        f"/lockers/{locker}/compartments?status=occupied",
        f"/reservations?status=DEPOSITED&changed_before={targets.changed_before}",
        f"/reservations?locker_id={locker}&order=desc",
        "/faults?open=true",
        f"/faults?open=true&locker_id={locker}",
        f"/search?q={locker[:-1]}",
        f"/search?q={reservation[:6]}",
    )
    return random.choice(paths)


def _history(targets: Targets, random: Random) -> str:
    locker, reservation = targets.network.random_locker(random), targets.network.random_reservation(random)
    paths = (
        f"/lockers/{locker}/events?order=desc",
        f"/lockers/{locker}/compartments/{random_compartment(random)}/events",
        f"/reservations/{reservation}/events",
    )
    return random.choice(paths)


def _past_state(targets: Targets, random: Random) -> str:
    """Return the path of a locker's state at a position behind its registration."""
    registered = targets.network.lockers * PER_LOCKER
    position = random.randint(registered, targets.events)
    return f"/lockers/{targets.network.random_locker(random)}/state?at={position}"


def random_compartment(random: Random) -> str:
    return compartment_name(random.randrange(PER_LOCKER))


_PATHS: dict[Kind, Callable[[Targets, Random], str]] = {
    Kind.SUBJECTS: _single_subject,
    Kind.LISTS: _list,
    Kind.HISTORIES: _history,
    Kind.PAST: _past_state,
}
