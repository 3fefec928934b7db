"""GET /network/activity: accepted events per step of the last hour or day, on each kind of store."""

from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.log import time_of
from lockstream.infrastructure.postgres import unit_of_work as shared_log
from lockstream.infrastructure.stores import unit_of_work as own_log
from lockstream.presentation.http.routes.figures import network
from lockstream.tests.support.builders import registered
from lockstream.tests.support.databases import database_url

__all__ = ["database_url"]

DAY = "2026-11-23T"


@pytest.fixture
def client(each_client: TestClient) -> TestClient:
    return each_client


@pytest.fixture
def accept(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that has a number of events accepted at a time of the day."""

    def accept(clock: str, count: int) -> int:
        for module in (own_log, shared_log):
            monkeypatch.setattr(module, "utc_now", partial(str, f"{DAY}{clock}Z"))
        outcomes = client.post("/events/batch", json=[registered(f"{clock}-{one}") for one in range(count)]).json()
        assert [outcome["status"] for outcome in outcomes] == [202] * count
        position: int = outcomes[-1]["position"]
        return position

    return accept


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that sets the clock of the server."""
    return lambda clock: monkeypatch.setattr(network, "present_time", lambda: time_of(f"{DAY}{clock}Z"))


def counts(client: TestClient, span: str, position: int) -> dict[str, int]:
    """Return the number of events by the begin of their step, for each step that has some."""
    response = client.get(f"/network/activity?span={span}", headers={"Lockstream-Min-Position": str(position)})
    assert (response.status_code, response.headers["lockstream-position"]) == (200, str(position))
    return {item["at"].removeprefix(DAY)[:5]: item["events"] for item in response.json()["items"] if item["events"]}


def test_events_count_in_the_step_of_their_recorded_time(client: TestClient, accept: Any, at: Any) -> None:
    # given events on both sides of the ends of steps
    accept("06:00:00.000000", 1)
    accept("07:30:59.999999", 2)
    accept("07:31:00.000000", 3)
    accept("08:29:59.999999", 4)
    last = accept("08:30:00.000000", 5)
    # when the last step has just begun
    at("08:30:01.000000")
    # then the hour and the day show what happened in each of their steps
    assert counts(client, "hour", last) == {"07:31": 3, "08:29": 4, "08:30": 5}
    assert counts(client, "day", last) == {"06:00": 1, "07:30": 5, "08:15": 4, "08:30": 5}


def test_the_last_step_contains_the_present(client: TestClient, at: Any) -> None:
    at("08:37:59.999999")
    hour, day = (client.get(f"/network/activity?span={span}").json() for span in ("hour", "day"))
    assert (hour["span"], hour["step_seconds"], len(hour["items"])) == ("hour", 60, 60)
    assert (day["span"], day["step_seconds"], len(day["items"])) == ("day", 900, 96)
    assert (hour["items"][0]["at"], hour["items"][-1]["at"]) == (f"{DAY}07:38:00.000000Z", f"{DAY}08:37:00.000000Z")
    assert (day["items"][0]["at"][:16], day["items"][-1]["at"][:16]) == ("2026-11-22T08:45", "2026-11-23T08:30")
    assert client.get("/network/activity").json() == hour


def test_events_of_a_clock_that_was_set_back_count_once(client: TestClient, accept: Any, at: Any) -> None:
    accept("08:10:00.000000", 2)
    accept("08:20:00.000000", 2)
    accept("08:05:00.000000", 3)
    last = accept("08:25:00.000000", 1)
    at("08:30:00.000000")
    found = counts(client, "hour", last)
    assert found == {"08:05": 7, "08:25": 1}
    assert sum(found.values()) == last


def test_events_of_a_node_whose_clock_is_ahead_count_in_the_last_step(client: TestClient, accept: Any, at: Any) -> None:
    last = accept("08:31:30.000000", 2)
    at("08:30:10.000000")
    assert counts(client, "hour", last) == {"08:30": 2}


@pytest.mark.parametrize("query", ["span=week", "span=", "span=hour&span=day", "at=1"])
def test_a_wrong_query_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/network/activity?{query}").status_code == 422
