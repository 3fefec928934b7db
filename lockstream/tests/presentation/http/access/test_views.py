"""Views of the running system, and pages of a caller with many lockers."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.bound import listings, pages
from lockstream.core.entities.access import ANYONE, Caller, Lockers
from lockstream.presentation import http
from lockstream.tests.presentation.http.access.networks import CALLER, FOREIGN, OWN, app_of
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

HTTP = Path(http.__file__).parent


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a network in memory. Its caller has too many lockers to merge, and a page searches four positions."""
    monkeypatch.setattr(listings, "FEW_LOCKERS", 2)
    monkeypatch.setattr(pages, "CHUNK_ROWS", 2)
    monkeypatch.setattr(pages, "SEARCHED_POSITIONS", 4)
    with ExitStack() as stack, contract_client(app_of("memory", tmp_path / "network", stack)) as client:
        bodies = [*FOREIGN.accepted, *OWN.accepted]
        assert client.post("/events/batch", json=bodies, headers={CALLER: "anyone"}).status_code == 200
        yield client


def pages_of(client: TestClient, url: str) -> list[dict[str, Any]]:
    """Return all pages of a list."""
    found = [client.get(url).json()]
    while token := found[-1]["next"]:
        found.append(client.get(f"{url}&after={token}").json())
    return found


def test_every_operation_gets_the_system_that_its_caller_may_see() -> None:
    modules = [HTTP / "bodies.py", *HTTP.glob("routes/**/*.py")]
    assert [module.name for module in modules if "app.lockstream" in module.read_text()] == []
    assert sum("lockstream_of" in module.read_text() for module in modules) >= 8


def test_a_caller_without_bounds_has_the_system_itself() -> None:
    system = open_in_memory()
    assert system.view(ANYONE) is system
    view = system.view(Caller(lockers=Lockers.of([])))
    assert (view.lockers, system.lockers) == (Lockers.of([]), None)


@pytest.mark.parametrize(
    ("url", "key"),
    [("/reservations?order=asc", "changed_position"), ("/faults?order=asc", "reported_position")],
)
def test_pages_may_be_short_or_empty_and_have_all_rows_together(client: TestClient, url: str, key: str) -> None:
    found = pages_of(client, f"{url}&limit=3")

    # then a page that lacks rows is not the last one
    assert any(not page["items"] for page in found[:-1])
    assert len(found) > 3
    # and together they are the whole list
    items = [item for page in found for item in page["items"]]
    everything = client.get(f"{url}&limit=1000", headers={CALLER: "anyone"})
    lockers = Lockers.of(["own-1", "own-2*"])
    assert items == [item for item in everything.json()["items"] if lockers.allow(item["locker_id"])]
    assert [item[key] for item in items] == sorted(item[key] for item in items)


def test_a_list_by_id_of_many_lockers_names_what_to_send_instead(client: TestClient) -> None:
    response = client.get("/reservations?sort=id")
    assert response.status_code == 422
    assert response.json()["detail"].endswith("Send locker_id with sort=id, or send sort=changed.")
    assert client.get("/reservations?sort=id&locker_id=own-1").status_code == 200
