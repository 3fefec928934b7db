"""GET /metrics on every store: it counts what has happened, and is right after a restart and a failure of the log."""

import asyncio
import subprocess
from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lockstream.core import rules
from lockstream.core.entities.access import Scope
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Refusal
from lockstream.core.ports import Listings
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.routes.telemetry.metrics import groups_of_operations
from lockstream.services.running.telemetry.figures import QuarantineFigures
from lockstream.services.running.telemetry.metrics import collector
from lockstream.settings import Settings
from lockstream.tests.presentation.http.access.operations import CALLS
from lockstream.tests.presentation.http.routes.telemetry.scrapes import Scrape, scrape
from lockstream.tests.services.running.telemetry.test_request_tally import MAX_SERIES
from lockstream.tests.support.builders import deposited, fault_cleared, fault_reported, registered, reserved
from lockstream.tests.support.clients import concurrent_client, contract_client, open_from_environment
from lockstream.tests.support.coroutines import run, wait_for
from lockstream.tests.support.faulty_store import FaultyStore, running_on
from lockstream.tests.support.keyed_clients import caller, keyed_clients
from lockstream.tests.support.memory_system import open_in_memory
from lockstream.tests.support.requirements import requires_program


def test_events_are_counted_by_type_and_outcome_on_every_store(each_client: TestClient) -> None:
    # given accepted events, a duplicate, a refused event, a batch of all kinds, and bodies that are not events
    first, fault = registered(), fault_reported()
    assert each_client.post("/events", json=first).status_code == 202
    assert each_client.post("/events", json=first).status_code == 200
    assert each_client.post("/events", json=fault_cleared(fault_reported())).status_code == 409
    mixed = [first, registered("b"), reserved(), reserved("other"), fault, {"type": "?"}]
    assert each_client.post("/events/batch", json=mixed).status_code == 200
    assert each_client.post("/events", content=b"{").status_code == 422
    each_client.get("/quarantine")  # writes what was noted
    # when the server is scraped
    found = scrape(each_client)
    # then each event is counted once
    assert found.values("lockstream_events_total") == {
        ("accepted", "CompartmentRegistered"): 2,
        ("duplicate", "CompartmentRegistered"): 2,
        ("accepted", "ReservationCreated"): 1,
        ("refused", "ReservationCreated"): 1,
        ("accepted", "FaultReported"): 1,
        ("refused", "FaultCleared"): 1,
    }
    assert found.values("lockstream_refusals_total") == {("unknown_fault",): 1, ("compartment_reserved",): 1}
    assert found.value("lockstream_malformed_events_total") == 2
    assert found.value("lockstream_failed_events_total") == 0
    assert found.values("lockstream_unavailable_events_total") == {}
    assert found.value("lockstream_event_delay_seconds_count") == 4
    assert found.value("lockstream_batch_events_sum") == 8
    # and the log, the quarantine and the requests are as they were left
    assert found.value("lockstream_log_head_position") == 4
    assert found.value("lockstream_log_durable_position") == 4
    assert (found.value("lockstream_log_bytes") or 0) > 0
    assert found.values("lockstream_quarantine_open_entries") == {("unknown_fault",): 1, ("compartment_reserved",): 1}
    assert found.value("lockstream_ready") == 1
    requests = found.values("lockstream_http_requests_total")
    assert requests["2xx", "post_event"] == 2
    assert requests["4xx", "post_event"] == 2
    assert found.value("http_server_request_duration_seconds_count", operations="post_event") == 4
    assert found.value("http_server_request_duration_seconds_bucket", operations="post_batch", le="+Inf") == 1
    assert found.values("lockstream_scrape_errors_total") == {}


def test_the_network_is_counted_on_every_store(each_client: TestClient) -> None:
    events = [registered("a"), registered("b"), registered("c"), reserved(), deposited(), registered(locker="locker-2")]
    events += [reserved("r-2", "b"), fault_reported(4, "c"), fault_reported(1, "c")]
    events[3]["payload"]["compartment_id"] = "a"
    outcomes = each_client.post("/events/batch", json=events).json()
    assert [one["status"] for one in outcomes] == [202] * 9
    each_client.get("/network")  # brings the projection up to the log
    found = scrape(each_client)
    assert found.value("lockstream_network_lockers") == 2
    assert found.value("lockstream_network_active_lockers") == 2
    assert found.value("lockstream_network_compartments") == 4
    states = {"available": 1.0, "reserved": 1.0, "occupied": 1.0, "degraded": 1.0}
    assert found.values("lockstream_network_compartments_in_state") == {(one,): count for one, count in states.items()}
    assert found.values("lockstream_network_open_faults") == {("true",): 1, ("false",): 1}
    assert found.value("lockstream_network_overdue_parcels") == 0


def test_a_parcel_is_overdue_once_it_was_there_for_the_days_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, each_client: TestClient
) -> None:
    monkeypatch.setitem(each_client.app.lockstream.settings.__dict__, "overdue_days", 1e-9)  # type: ignore[attr-defined]
    each_client.post("/events/batch", json=[registered(), reserved(), deposited()])
    each_client.get("/network")
    assert scrape(each_client).value("lockstream_network_overdue_parcels") == 1


def test_counters_begin_at_0_after_a_restart_and_gauges_are_those_of_the_log() -> None:
    for events in range(3):
        with contract_client(create_app(open_from_environment)) as client:
            found = scrape(client)
            assert found.value("lockstream_log_head_position") == events
            assert found.value("lockstream_projection_lag_events") == 0
            assert found.values("lockstream_events_total") == {}
            assert found.value("lockstream_network_compartments") == events
            client.post("/events", json=registered(str(events)))
            assert scrape(client).values("lockstream_events_total") == {("accepted", "CompartmentRegistered"): 1}


def test_a_poisoned_log_is_told_and_keeps_its_counts() -> None:
    settings = Settings()
    store = FaultyStore(settings)

    async def check() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            assert (await client.post("/events", json=registered())).status_code == 202
            with store.failing_flushes():
                assert (await client.post("/events", json=registered("b"))).status_code == 503
            assert (await client.post("/events", json=registered("c"))).status_code == 503
            assert (await client.get("/network")).status_code == 200  # drops unflushed events, and so the row cache
            found = Scrape((await client.get("/metrics")).text)
            assert (found.value("lockstream_log_failed"), found.value("lockstream_ready")) == (1, 0)
            assert found.values("lockstream_events_total") == {("accepted", "CompartmentRegistered"): 1}
            assert found.values("lockstream_unavailable_events_total") == {("storage",): 2}
            assert found.value("lockstream_log_durable_position") == 1
            assert found.value("lockstream_network_compartments") == 1
            results = {("hit",): 1, ("miss",): 2}  # those of the first cache, and a miss of the one that replaced it
            assert found.values("lockstream_row_cache_batches_total") == results
            assert found.values("lockstream_scrape_errors_total") == {}

    run(check())


def test_events_that_find_the_queue_full_are_counted() -> None:
    settings = Settings(queue_limit=1)
    store = FaultyStore(settings)

    async def check() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            waiting = asyncio.ensure_future(client.post("/events", json=registered()))
            await store.flush_waits()
            try:
                assert (await client.post("/events", json=registered("b"))).status_code == 503
                found = Scrape((await client.get("/metrics")).text)
                assert found.values("lockstream_unavailable_events_total") == {("queue_full",): 1}
                assert (found.value("lockstream_queue_events"), found.value("lockstream_queue_limit_events")) == (1, 1)
            finally:
                store.open_gate()
            assert (await waiting).status_code == 202
            assert Scrape((await client.get("/metrics")).text).value("lockstream_queue_events") == 0

    run(check())


def test_a_scrape_waits_neither_for_a_flush_nor_for_a_checkpoint() -> None:
    settings = Settings()
    store = FaultyStore(settings)

    async def check() -> None:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_checkpoint_gate()
            assert (await client.post("/events", json=registered())).status_code == 202
            await store.checkpoint_waits()
            store.shut_gate()
            waiting = asyncio.ensure_future(client.post("/events", json=registered("b")))
            await store.flush_waits()
            try:
                found = Scrape((await client.get("/metrics")).text)
                assert found.value("lockstream_log_appended_position") == 2
                assert found.value("lockstream_log_durable_position") == 1
                assert found.value("lockstream_projection_lag_events") == 1
                assert found.value("lockstream_network_compartments") == 0
                assert found.values("lockstream_scrape_errors_total") == {}
            finally:
                store.open_gate()
                store.open_checkpoint_gate()
            assert (await waiting).status_code == 202
            await wait_for(lambda: store.checkpointed == 2)
            found = Scrape((await client.get("/metrics")).text)
            assert (found.value("lockstream_checkpoint_seconds_count") or 0) >= 1
            assert (found.value("lockstream_flush_seconds_count") or 0) >= 2

    run(check())


def test_a_part_that_fails_is_left_out_and_counted(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    def unavailable(listings: Listings, overdue_days: float) -> None:
        raise StoreUnavailable("The projection cannot be read.")

    monkeypatch.setattr(collector, "network_figures", unavailable)
    monkeypatch.setattr(collector, "key_families", fail)
    monkeypatch.setattr(type(client.app.lockstream), "counts", fail)  # type: ignore[attr-defined]
    found = scrape(client)
    assert found.values("lockstream_scrape_errors_total") == {("network",): 1, ("counts",): 1}
    assert found.value("lockstream_log_head_position") == 0
    assert found.value("lockstream_network_lockers") is None
    monkeypatch.undo()
    assert scrape(client).values("lockstream_scrape_errors_total") == {("network",): 1, ("counts",): 1}


def test_a_family_that_cannot_be_built_is_left_out(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(figures: QuarantineFigures) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(collector, "quarantine_families", fail)
    found = scrape(client)
    assert found.values("lockstream_scrape_errors_total") == {("quarantine",): 1}
    assert found.value("lockstream_quarantine_limit_entries") is None


def test_openmetrics_is_served_if_accept_prefers_it(client: TestClient) -> None:
    preferred = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    response = client.get("/metrics", headers={"Accept": preferred})
    assert response.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert [family.name for family in text_string_to_metric_families(response.text)]  # type: ignore[no-untyped-call]
    plain = client.get("/metrics", headers={"Accept": "text/plain"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["vary"] == "Accept"
    assert client.get("/metrics", headers={"Accept": "text/html"}).status_code == 406


def test_a_bound_key_gets_403_on_every_path() -> None:
    with keyed_clients({"bound": caller("b0undK3y", "mine-*"), "free": caller("fr33K3y0")}, open_in_memory) as clients:
        response = clients["bound"].get("/metrics")
        assert (response.status_code, response.json()["code"]) == (403, "lockers_bound")
        assert "fr33K3y0" not in clients["free"].get("/metrics").text
        found = scrape(clients["free"])
        assert found.values("lockstream_keys_refused_total") == {("lockers_bound",): 1}


def test_there_are_fewer_than_300_series_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as opened:
        client = opened.enter_context(contract_client(create_app(open_from_environment), is_checked=False))
        for call in CALLS.values():
            for body in (call.body, None, b"{"):
                for method in (call.method, "POST", "PUT"):
                    client.request(method, call.path, content=body if isinstance(body, bytes) else None, json=None)
                    client.request(method, f"{call.path.partition('?')[0]}?unknown=1", headers={"Accept": "x/y"})
        tally = client.app.lockstream._group_commit.tally  # type: ignore[attr-defined]
        codes = [rule.code for rule in vars(rules).values() if isinstance(rule, Refusal)]
        assert len(codes) > 10
        tally.refusals.update(codes)
        client.app.lockstream.access.refused.update(ALL_KEY_CODES)  # type: ignore[attr-defined]
        found = scrape(client)
        others = found.series - len(found.values("lockstream_http_requests_total"))
        spare = 300 - others - MAX_SERIES - len(codes) - 1  # codes of the quarantine: of the rules, and of reused ids
        assert spare > 0


def test_requests_to_the_console_are_counted_once() -> None:
    with contract_client(create_app(open_from_environment, make_console=make_console), is_checked=False) as client:
        for path, status in (("", 200), ("/unknown", 404), ("/static/unknown", 404), ("/api/network", 200)):
            assert client.get(f"/console{path}").status_code == status, path
        requests = scrape(client).values("lockstream_http_requests_total")
        assert requests == {("2xx", "console"): 2, ("4xx", "console"): 2}


ALL_KEY_CODES = [
    *("key_missing", "key_malformed", "key_unknown", "key_expired", "key_revoked", "key_in_url"),
    *("scope_missing", "locker_not_allowed", "lockers_bound", "keys_required", "auth_off"),
]


def test_every_operation_but_the_readers_of_the_feed_has_a_group() -> None:
    feed = {name for name, call in CALLS.items() if call.scope is Scope.FEED}
    assert groups_of_operations().keys() == CALLS.keys() - feed


@requires_program("promtool")
def test_promtool_finds_nothing_to_improve(client: TestClient) -> None:
    client.post("/events/batch", json=[registered(), reserved(), reserved("other")])
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape(client).text, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
