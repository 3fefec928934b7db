"""Networks on each kind of store. They have the same lockers of a bound caller, and differ in all other lockers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.entities.access import ANYONE, Caller, Lockers
from lockstream.core.entities.events import KeyId
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.access.callers import set_caller
from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.builders import (
    Body,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.databases import new_database
from lockstream.tests.support.keyed_clients import NO_KEYS
from lockstream.tests.support.memory_system import open_in_memory

CALLER = "x-caller"
"""Header by which a test chooses the caller of a request. Without it, the caller is bound."""

CALLERS = {
    "bound": Caller(KeyId("boundkey"), lockers=Lockers.of(["own-1", "own-2*"])),
    "other": Caller(KeyId("otherkey"), lockers=Lockers.of(["own-10", "other*"])),
    "nothing": Caller(KeyId("emptykey"), lockers=Lockers.of([])),
    "anyone": ANYONE,
}
OWN_LOCKERS = ("own-1", "own-2", "own-2/3".replace("/", '"'))
FOREIGN_LOCKERS = ("own", "own-10", "other", "own-3")


def id_of(group: int, number: int) -> str:
    """Return an event id. Ids of all groups begin in the same way."""
    return f"00000000-0000-4000-8000-{group:04x}{number:08x}"


class Story(NamedTuple):
    """The events of some lockers, in order, and those of them that are refused."""

    accepted: list[Body]
    refused: list[Body]


def story(lockers: Sequence[str], group: int, *, is_long: bool = True) -> Story:
    """Return a story of lockers. Its ids have `group` in them, and otherwise are those of any other group."""
    accepted: list[Body] = []
    refused: list[Body] = []

    def add(bodies: list[Body], body: Body) -> Body:
        body["event_id"] = id_of(group, len(accepted) + 0x100 * len(refused))
        bodies.append(body)
        return body

    for locker in lockers:
        for compartment in ("c1", "c2", "c3"):
            add(accepted, registered(compartment, locker=locker))
        rows = [(f"r-{locker}-{number}-{group}", f"c{number}") for number in (1, 2, 3)]
        for reservation, compartment in rows:
            add(accepted, reserved(reservation, compartment, locker=locker))
        add(accepted, deposited(rows[0][0], locker=locker))
        add(refused, picked_up(rows[2][0], locker=locker))
        add(refused, fault_reported(3, "c9", locker=locker))
        if is_long:
            add(accepted, picked_up(rows[0][0], locker=locker))
            add(accepted, expired(rows[1][0], locker=locker))
            fault = add(accepted, fault_reported(4, "c1", locker=locker))
            add(accepted, fault_cleared(fault, "c1", locker=locker))
            add(accepted, fault_reported(2, "c2", locker=locker))
        add(accepted, fault_reported(5, "c3", locker=locker))
    return Story(accepted, refused)


OWN = story(OWN_LOCKERS, 0)
FOREIGN = story(FOREIGN_LOCKERS, 1)
FOREIGN_OTHERWISE = story(FOREIGN_LOCKERS[1:], 1, is_long=False)
REUSED = registered("c8", locker="own-1", event_id=OWN.accepted[1]["event_id"])
"""An event of the caller with the id of another one of its events."""

MALFORMED = {"event_id": "of no locker"}


class Network(NamedTuple):
    """A network, and a client of it whose requests are those of the bound caller."""

    client: TestClient
    positions: dict[str, int]
    """Positions of the caller's events by id."""


@contextmanager
def three_networks(kind: str, folder: Path) -> Iterator[list[Network]]:
    """Give networks with other lockers, with the same lockers in another state, and without other lockers."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_network(kind, folder / name, foreign))
            for name, foreign in (("whole", FOREIGN), ("otherwise", FOREIGN_OTHERWISE), ("alone", None))
        ]


def app_of(kind: str, folder: Path, stack: ExitStack) -> ASGIApp:
    """Return an application over a new store, whose callers are those that the header of a request names."""
    folder.mkdir()
    settings = Settings.model_validate({"EVENT_LOG_PATH": folder / "event_log.jsonl", **NO_KEYS})
    if kind == "postgres":
        settings = Settings.model_validate({"DATABASE_URL": stack.enter_context(new_database()), **NO_KEYS})
    opened = open_in_memory if kind == "memory" else lambda: deployment_of(settings).start()
    return with_callers(create_app(opened, lambda: settings, make_console))


def with_callers(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(CALLER.encode(), b"bound").decode()
            set_caller(scope, CALLERS[name])
        await app(scope, receive, send)

    return answer


@contextmanager
def _network(kind: str, folder: Path, foreign: Story | None) -> Iterator[Network]:
    with ExitStack() as stack:
        client = stack.enter_context(contract_client(app_of(kind, folder, stack)))
        report(client, OWN, foreign)
        found = client.get("/events?after=0&limit=1000", headers={CALLER: "anyone"}).json()["items"]
        yield Network(client, {one["event_id"]: one["position"] for one in found})


def report(client: httpx.Client | TestClient, own: Story, foreign: Story | None) -> None:
    """Report the events of both stories in turns, with refused, reused and malformed ones."""
    others = foreign.accepted if foreign else []
    for index in range(max(len(own.accepted), len(others))):
        _post(client, [*others[index : index + 1], *own.accepted[index : index + 1]], 202)
    _post(client, foreign.refused if foreign else [], 422, 409)
    _post(client, own.refused, 422, 409)
    _post(client, [REUSED], 200)
    if foreign:
        _post(client, [MALFORMED], 422)


def _post(client: httpx.Client | TestClient, bodies: list[Any], *expected: int) -> None:
    if bodies:
        response = client.post("/events/batch", json=bodies, headers={CALLER: "anyone"})
        assert {item["status"] for item in response.json()} <= set(expected), response.text


@pytest.fixture(params=["memory", "embedded", "postgres"])
def networks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Network]]:
    with three_networks(request.param, tmp_path) as networks:
        yield networks
