"""Lists of a real server over a log in a file: they show all acknowledged events, also while others are written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGTERM
from typing import Any

import httpx
import pytest

from lockstream.tests.presentation.http.routes.network import DAYS
from lockstream.tests.support.builders import as_lines, deposited, registered, reserved
from lockstream.tests.support.clients import check_contract
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

HISTORIES = "/lockers/l1/events", "/lockers/l1/compartments/c1/events?order=desc", "/reservations/r2/events"
LISTS = "/network", "/lockers", "/lockers/l1/compartments", "/reservations", "/faults", "/search?q=c", *HISTORIES


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    with Server(log_path) as server:
        yield server.start()


def client_of(server: Server) -> httpx.Client:
    client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=TIMEOUT_SECONDS)
    client.event_hooks["response"].append(check_contract)
    return client


def post(client: httpx.Client, *events: Any) -> list[dict[str, Any]]:
    response = client.post("/events/batch", content=as_lines(*events), headers={"Content-Type": "application/x-ndjson"})
    outcomes: list[dict[str, Any]] = response.json()
    assert {outcome["status"] for outcome in outcomes} == {202}
    return outcomes


def test_a_list_shows_each_event_that_was_acknowledged_before(server: Server) -> None:
    with client_of(server) as client:
        for number in range(1, 31):
            # given an acknowledged event
            position = post(client, registered(f"c{number:02}"))[0]["position"]
            # when a list is read at once, then it shows the event
            response = client.get("/lockers")
            assert int(response.headers["Lockstream-Position"]) >= position
            assert response.json()["items"][0]["compartments"] == number
            assert client.get("/network").json()["position"] == number


def test_lists_are_the_same_after_a_restart(server: Server) -> None:
    with client_of(server) as client:
        post(client, *(event for events in DAYS.values() for event in events))
        before = {path: client.get(path).json() for path in LISTS}
        assert [item["status"] for item in before["/reservations"]["items"]] == [
            *("CREATED", "DEPOSITED", "PICKED_UP", "EXPIRED")
        ]
    assert server.stop(SIGTERM) == 0
    server.start()
    with client_of(server) as client:
        assert {path: client.get(path).json() for path in LISTS} == before


def test_pages_are_read_while_others_write(server: Server) -> None:
    # given reservations of many compartments
    names = [f"n{number:04}" for number in range(500)]
    with client_of(server) as client, ThreadPoolExecutor(1) as pool:
        post(client, *map(registered, names))
        post(client, *(reserved(name, name) for name in names))
        # when all pages are read in the order of ids while the parcels are deposited
        writing = pool.submit(lambda: [post(client, deposited(name)) for name in names])
        found, url = [], "/reservations?sort=id&limit=7"
        while url:
            page = client.get(url)
            found += [item["reservation_id"] for item in page.json()["items"]]
            url = str(page.url.join(page.links["next"]["url"])) if "next" in page.links else ""
        writing.result()
        # then the pages have each reservation once
        assert found == names
        # and the next list shows all deposits, as JSON and as CSV
        deposits = client.get("/reservations?status=DEPOSITED&limit=1000")
        assert len(deposits.json()["items"]) == len(names)
        rows = client.get("/reservations?status=DEPOSITED&limit=1000", headers={"Accept": "text/csv"})
        assert rows.text.count("\r\n") == len(names) + 1


def test_times_are_compared_to_the_microsecond(server: Server) -> None:
    with client_of(server) as client:
        post(client, registered(), reserved())
        changed_at = client.get("/reservations").json()["items"][0]["changed_at"]
        just_later = changed_at.replace("Z", "1Z")
        for query, count in [
            (f"changed_before={changed_at}", 0),
            (f"changed_after={changed_at}", 0),
            (f"changed_before={just_later}", 1),
        ]:
            assert len(client.get(f"/reservations?{query}").json()["items"]) == count, query
