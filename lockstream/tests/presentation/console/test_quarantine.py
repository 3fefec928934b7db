"""The quarantine's pages: the list, an entry, and what is done to one, to those selected, or to all that match."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Scope
from lockstream.core.entities.quarantine import QuarantineLimits
from lockstream.infrastructure.quarantine.store import FileQuarantine
from lockstream.presentation.console.entry import make_console
from lockstream.presentation.console.pages import quarantine
from lockstream.presentation.console.refusals import CODE_TEXTS
from lockstream.presentation.http.app import create_app
from lockstream.schemas.quarantine import CODES
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import FROM_HERE, Document, console_client, document, session
from lockstream.tests.presentation.http.access.conftest import Guarded
from lockstream.tests.support.builders import Body, body, deposited, registered, reserved
from lockstream.tests.support.faulty_store import POISON, FaultyStore
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import wait_until

DOCUMENTATION = Path(__file__).parents[4] / "docs/quarantine.md"
UNKNOWN = "0190a5e0-0000-4000-8000-00000000ffff"


@pytest.fixture
def client(log_path: Path) -> Iterator[TestClient]:
    """A client of a server without keys."""
    with console_client(Settings()) as client:
        yield client


def refuse(client: TestClient, *events: Body) -> list[str]:
    """Post events that are refused, and return their ids once the quarantine has them."""
    for event in events:
        assert client.post("/events", json=event).status_code in (409, 422)
    ids = [event["event_id"] for event in events]
    wait_until(lambda: all(client.get(f"/quarantine/{event_id}").status_code == 200 for event_id in ids))
    return ids


def send(client: TestClient, path: str, key: str = "", **form: Any) -> Any:
    """Send a form as a browser without scripts does."""
    return client.post(f"/console{path}", data=form, headers=FROM_HERE | (session(key) if key else {}))


def hidden(html: str) -> dict[str, Any]:
    """Return the hidden fields of a form."""
    found: dict[str, list[str]] = {}
    for tag, attributes in Document(html).elements:
        if tag == "input" and attributes.get("type") == "hidden":
            found.setdefault(attributes["name"], []).append(attributes["value"])
    return found


def counts(html: str) -> dict[str, int]:
    """Return the counts of outcomes, as a page has them."""
    return {word: int(count) for count, word in re.findall(r"<b>([0-9,]+)</b> ([a-z ]+)</li>", html)}


def test_the_texts_about_codes_are_those_of_the_documentation() -> None:
    part = DOCUMENTATION.read_text().split("**What each code means:**")[1].split("**With keys**")[0]
    items = re.findall(r"- `(\w+)`: (.*?)\s*\*To do:\* (.*?)(?=\n- `|\Z)", part, re.DOTALL)
    documented = {code: (" ".join(meaning.split()), " ".join(remedy.split())) for code, meaning, remedy in items}
    assert list(documented) == list(CODE_TEXTS)
    assert sorted(documented) == sorted(CODES)
    for code, (meaning, remedy) in documented.items():
        for written, shown in ((meaning, CODE_TEXTS[code].meaning), (remedy, CODE_TEXTS[code].remedy)):
            sentence = written.replace("`", "")
            assert sentence[0].upper() + sentence[1:] == shown, code


def test_the_list_has_totals_filters_and_entries(client: TestClient) -> None:
    first, second = refuse(client, deposited("unknown"), reserved(compartment="unknown"))
    page = document(client, "/console/quarantine")
    assert {f"/console/quarantine/{event_id}" for event_id in (first, second)} <= set(page.values("href"))
    assert "unknown_reservation 1" in page.text
    filtered = document(client, "/console/quarantine?code=unknown_compartment&order=asc&status=")
    assert f"/console/quarantine/{second}" in filtered.values("href")
    assert f"/console/quarantine/{first}" not in filtered.values("href")
    assert "No event matches." in document(client, "/console/quarantine?locker_id=nowhere").text
    assert "The query parameter code" in document(client, "/console/quarantine?code=nonsense").text
    assert "No event matches." in document(client, "/console/quarantine?since=2999-01-01T00:00").text


def test_an_empty_quarantine_says_so(client: TestClient) -> None:
    assert "The quarantine is empty." in document(client, "/console/quarantine").text
    assert "No malformed body has arrived." in document(client, "/console/quarantine/malformed").text


def test_an_entry_shows_its_body_as_it_came_and_what_to_do(client: TestClient) -> None:
    [event_id] = refuse(client, body("ParcelDeposited", reservation_id='<b>"unknown'))
    page = document(client, f"/console/quarantine/{event_id}")
    assert CODE_TEXTS["unknown_reservation"].remedy in page.text
    assert f'"event_id": "{event_id}",\n' in page.text
    assert '"reservation_id": "<b>\\"unknown"\n' in page.text
    document(client, f"/console/quarantine/{UNKNOWN}", status=404)


def test_an_accepted_event_leads_to_its_page(client: TestClient) -> None:
    # given an event that was refused because another one came late
    [event_id] = refuse(client, reserved("r1", "c1"))
    assert client.post("/events", json=registered("c1")).status_code == 202
    # when it is resubmitted
    response = send(client, f"/quarantine/{event_id}", action="resubmit")
    # then it is in the log
    assert (response.status_code, response.headers["location"]) == (303, f"/console/events/{event_id}")
    assert client.get(f"/events/{event_id}").status_code == 200
    # and a second click finds that it is gone
    again = send(client, f"/quarantine/{event_id}", action="resubmit")
    assert again.headers["location"] == f"/console/events/{event_id}"


def test_an_id_that_was_used_before_stays_in_the_quarantine(client: TestClient) -> None:
    event = registered("c1")
    assert client.post("/events", json=event).status_code == 202
    assert client.post("/events", json=event | {"payload": {"compartment_id": "c2"}}).status_code == 200
    path = f"/quarantine/{event['event_id']}"
    wait_until(lambda: client.get(path).status_code == 200)
    led = send(client, path, action="resubmit").headers["location"]
    assert led == f"/console{path}?outcome=duplicate"
    assert "The log has another event with this id" in document(client, led).text
    outcomes = send(client, "/quarantine/change", action="resubmit", event_id=event["event_id"])
    assert counts(outcomes.text) == {"duplicate": 1}


def test_an_event_that_is_refused_again_says_so(client: TestClient) -> None:
    [event_id] = refuse(client, deposited("unknown"))
    response = send(client, f"/quarantine/{event_id}", action="resubmit")
    assert response.status_code == 303
    assert "and refused again" in document(client, response.headers["location"]).text


def test_a_discard_needs_a_reason(client: TestClient) -> None:
    [event_id] = refuse(client, deposited("unknown"))
    for reason in ("", "   "):
        response = send(client, f"/quarantine/{event_id}", action="discard", reason=reason)
        assert response.status_code == 422
        assert "A reason is missing." in response.text
    assert client.get(f"/quarantine/{event_id}").json()["status"] == "open"
    response = send(client, f"/quarantine/{event_id}", action="discard", reason="Lost & <found>")
    assert (response.status_code, response.headers["location"]) == (303, f"/console/quarantine/{event_id}")
    assert client.get(f"/quarantine/{event_id}").json()["discard_reason"] == "Lost & <found>"
    page = document(client, f"/console/quarantine/{event_id}")
    assert "Lost & <found>" in page.text
    assert "Discard this event" not in page.text


def test_selected_events_are_confirmed_then_decided_in_their_order(client: TestClient) -> None:
    # given a story that came in the wrong order, and an event that does not belong to it
    deposit = deposited("r1") | {"occurred_at": "2026-11-23T12:00:00+01:00"}
    reservation = reserved("r1", "c1") | {"occurred_at": "2026-11-23T11:00:00+01:00"}
    other = deposited("unknown")
    ids = refuse(client, deposit, reservation, other)
    assert client.post("/events", json=registered("c1")).status_code == 202
    # when all of it is selected
    confirmation = send(client, "/quarantine", action="resubmit", event_id=ids)
    # then the page says what will happen, and nothing has happened
    assert confirmation.status_code == 200
    assert "Resubmit 3 events?" in confirmation.text
    form = hidden(confirmation.text)
    assert sorted(form["event_id"]) == sorted(ids)
    assert form["event_id"].index(reservation["event_id"]) < form["event_id"].index(deposit["event_id"])
    assert client.get("/quarantine").json()["totals"]["open"] == {"unknown_compartment": 1, "unknown_reservation": 2}
    # when it is confirmed
    outcomes = send(client, "/quarantine/change", **form)
    assert counts(outcomes.text) == {"accepted": 2, "refused": 1}
    assert client.get("/reservations/r1").json()["status"] == "DEPOSITED"
    # then the same form again does no harm
    again = send(client, "/quarantine/change", **form)
    assert counts(again.text) == {"not in the quarantine any more": 2, "refused": 1}


def test_outcomes_are_told_in_words_with_the_way_to_each_event(client: TestClient) -> None:
    # given an event that can be accepted by now, one that cannot, and one that is not there
    accepted, refused = refuse(client, reserved("r1", "c1"), deposited("unknown", locker="locker-2"))
    assert client.post("/events", json=registered("c1")).status_code == 202
    # when all three are resubmitted
    sent = send(client, "/quarantine/change", action="resubmit", event_id=[accepted, refused, UNKNOWN])
    # then each row has the event and its locker, the outcome and why, and its link leads to the event
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', sent.text, re.DOTALL)
    texts = [" ".join(Document(row).text.split()) for row in rows]
    assert [re.sub("20.* UTC ", " ", text) for text in texts] == [
        "Deposited locker-2 refused There is no reservation 'unknown'. Send its ReservationCreated first.",
        f"{UNKNOWN} not in the quarantine any more",
        "Reserved locker-1 accepted At position 2.",
    ]
    links = [link for link in Document(sent.text).values("href") if link.endswith((accepted, refused, UNKNOWN))]
    assert links == [f"/console/quarantine/{refused}", f"/console/events/{UNKNOWN}", f"/console/events/{accepted}"]
    assert "/console/lockers/locker-2" in Document(sent.text).values("href")
    # and a discarded event says why it was refused
    sent = send(client, "/quarantine/change", action="discard", reason="A test.", event_id=refused)
    assert "Not accepted: There is no reservation &#39;unknown&#39;." in sent.text


def test_events_that_build_on_each_other_are_accepted_in_any_order(client: TestClient) -> None:
    ids = refuse(client, deposited("r1"), reserved("r1", "c1"))
    assert client.post("/events", json=registered("c1")).status_code == 202
    outcomes = send(client, "/quarantine/change", action="resubmit", event_id=ids)
    assert counts(outcomes.text) == {"accepted": 2}


def test_all_that_match_are_discarded_with_a_reason(client: TestClient) -> None:
    ids = refuse(client, deposited("u1"), deposited("u2"), reserved(compartment="unknown"))
    confirmation = send(client, "/quarantine", action="discard-all", code="unknown_reservation")
    assert "Discard 2 events?" in confirmation.text
    assert "code=unknown_reservation" in confirmation.text
    form = hidden(confirmation.text)
    assert sorted(form["event_id"]) == sorted(ids[:2])
    missing = send(client, "/quarantine/change", **form, reason=" ")
    assert (missing.status_code, "A reason is missing." in missing.text) == (422, True)
    assert hidden(missing.text) == form
    # an event that comes in the meantime is not one of those that were confirmed
    refuse(client, deposited("u3"))
    assert counts(send(client, "/quarantine/change", **form, reason="A test.").text) == {"discarded": 2}
    assert client.get("/quarantine").json()["totals"]["open"] == {"unknown_compartment": 1, "unknown_reservation": 1}
    # and the first reason is kept if the form is sent again
    assert counts(send(client, "/quarantine/change", **form, reason="Another.").text) == {"discarded before": 2}
    assert client.get(f"/quarantine/{ids[0]}").json()["discard_reason"] == "A test."


def test_an_event_that_cannot_be_decided_hides_no_outcome_of_the_others(log_path: Path) -> None:
    # given three refused events, of which one causes an internal error once its door is registered
    settings = Settings()
    store = FaultyStore(settings)
    engine, kept = EmbeddedEngine(store, settings.batch_limit), FileQuarantine(QuarantineLimits())
    app = create_app(lambda: Lockstream(store, engine, settings, kept), lambda: settings, make_console)
    with console_client(settings, app) as client:
        ids = refuse(client, reserved("r1", "c1"), reserved(POISON, "c2"), deposited("unknown"))
        assert client.post("/events/batch", json=[registered("c1"), registered("c2")]).status_code == 200
        # when all of them are resubmitted
        page = send(client, "/quarantine/change", action="resubmit", event_id=ids)
        # then the page has each outcome, and offers to decide the others again
        assert page.status_code == 200
        assert counts(page.text) == {"not decided": 1, "accepted": 1, "refused": 1}
        assert "An internal error of Lockstream." in page.text
        assert hidden(page.text) == {"event_id": [ids[1]]}
        again = send(client, "/quarantine", action="resubmit", event_id=ids[1])
        assert "Resubmit 1 event?" in again.text
        # and a form of which nothing is decided gets the error itself
        assert send(client, "/quarantine/change", action="resubmit", event_id=ids[1]).status_code == 500


def test_a_discard_that_cannot_read_its_entry_does_not_call_it_gone(guarded: Guarded) -> None:
    form = {"action": "discard", "reason": "A test.", "event_id": UNKNOWN}
    assert send(guarded.client, "/quarantine/change", guarded.keys["read"], **form).status_code == 403
    assert counts(send(guarded.client, "/quarantine/change", guarded.keys["all"], **form).text) == {
        "not in the quarantine any more": 1
    }


def test_one_form_changes_a_bounded_number(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_CHOSEN", 2)
    monkeypatch.setattr(quarantine, "MAX_SHOWN", 1)
    ids = refuse(client, *(deposited(f"u{one}") for one in range(3)))
    confirmation = send(client, "/quarantine", action="resubmit-all")
    assert "Resubmit 2 events?" in confirmation.text
    assert "More match" in confirmation.text
    assert "And 1 more." in confirmation.text
    assert hidden(confirmation.text)["event_id"] == ids[:2]
    selected = send(client, "/quarantine", action="resubmit", event_id=ids)
    assert "More were selected: these are the first 2." in selected.text
    assert hidden(selected.text)["event_id"] == ids[:2]
    outcomes = send(client, "/quarantine/change", action="resubmit", event_id=ids)
    assert counts(outcomes.text) == {"refused": 2}
    assert "And 1 more." in outcomes.text


@pytest.mark.parametrize("form", [{"action": ""}, {"action": "resubmit"}, {"action": "explode", "event_id": UNKNOWN}])
def test_a_form_that_chooses_nothing_changes_nothing(client: TestClient, form: dict[str, str]) -> None:
    for path in ("/quarantine", "/quarantine/change"):
        response = send(client, path, **form)
        assert (response.status_code, response.headers["location"].partition("?")[0]) == (303, "/console/quarantine")
    led = send(client, "/quarantine", action="resubmit", event_id=UNKNOWN).headers["location"]
    assert "Nothing was chosen." in document(client, led).text
    assert client.get("/console/quarantine/change").headers["location"] == "/console/quarantine"


def test_bodies_that_are_not_events_are_listed(client: TestClient) -> None:
    assert (
        client.post("/events", content=b'{"<script>"', headers={"Content-Type": "application/json"}).status_code == 422
    )
    wait_until(lambda: '{"<script>"' in document(client, "/console/quarantine/malformed").text)


FORMS: list[tuple[str, dict[str, str]]] = [
    ("/quarantine", {"action": "resubmit-all"}),
    ("/quarantine", {"action": "discard-all"}),
    ("/quarantine/change", {"action": "resubmit"}),
    ("/quarantine/change", {"action": "discard", "reason": "A test."}),
    ("/quarantine/ID", {"action": "resubmit"}),
    ("/quarantine/ID", {"action": "discard", "reason": "A test."}),
]


@pytest.mark.parametrize(("path", "form"), FORMS)
def test_no_form_of_another_site_and_no_key_without_the_scope_changes_anything(
    guarded: Guarded, path: str, form: dict[str, str]
) -> None:
    admin = bearer(guarded.keys["all"])
    [entry] = guarded.client.get("/quarantine?status=open", headers=admin).json()["items"]
    event_id = entry["event_id"]
    path, fields = path.replace("ID", event_id), form | {"event_id": event_id}
    for headers in ({}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}):
        response = guarded.client.post(f"/console{path}", data=fields, headers=headers | session(guarded.keys["all"]))
        assert response.status_code == 403
    for scope in set(Scope) - {Scope.QUARANTINE}:
        response = send(guarded.client, path, guarded.keys[scope], **fields)
        assert response.status_code in (403, 303) or counts(response.text) == {"not in the quarantine any more": 1}
    assert guarded.client.get(f"/quarantine/{event_id}", headers=admin).json() == entry


@pytest.mark.parametrize("path", ["/quarantine", "/quarantine/malformed", f"/quarantine/{UNKNOWN}"])
def test_the_pages_need_the_scope(guarded: Guarded, path: str) -> None:
    for scope in set(Scope) - {Scope.QUARANTINE}:
        assert (
            "lacks the scope quarantine" in document(guarded.client, f"/console{path}", guarded.keys[scope], 403).text
        )


def test_a_bound_key_changes_no_entry_of_another_locker(guarded: Guarded) -> None:
    admin = bearer(guarded.keys["all"])
    wanted = {"name": "bound", "scopes": ["quarantine"], "lockers": ["other-*"]}
    key = guarded.client.post("/keys", json=wanted, headers=admin).json()["text"]
    [entry] = guarded.client.get("/quarantine?status=open", headers=admin).json()["items"]
    assert entry["event_id"] not in document(guarded.client, "/console/quarantine", key).text
    for form in ({"action": "resubmit"}, {"action": "discard", "reason": "Mine."}):
        response = send(guarded.client, "/quarantine/change", key, **form, event_id=entry["event_id"])
        assert counts(response.text) == {"not in the quarantine any more": 1}
        send(guarded.client, f"/quarantine/{entry['event_id']}", key, **form)
    assert guarded.client.get(f"/quarantine/{entry['event_id']}", headers=admin).json() == entry
