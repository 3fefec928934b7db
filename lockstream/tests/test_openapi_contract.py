"""The contract: `lockstream/openapi/openapi.yaml` equals the served contract, and declares every response."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytest.importorskip("yaml", reason="the development tools are not installed")
pytest.importorskip("jsonschema", reason="the development tools are not installed")
validator = pytest.importorskip("openapi_spec_validator", reason="the development tools are not installed")

from lockstream.core.entities.events import EVENT_TYPES  # noqa: E402
from lockstream.infrastructure.id_index.index import BLOCK_POSITIONS  # noqa: E402
from lockstream.infrastructure.id_index.prefix_search import SEARCHED_BLOCKS  # noqa: E402
from lockstream.tests.support.contract import CONTRACT, response_validator  # noqa: E402

SCHEMAS = CONTRACT["components"]["schemas"]

_ANSWERS = {
    ("/events", "post"): {"200", "202", "408", "409", "413", "415", "422", "431", "500", "503"},
    ("/events", "get"): {"200", "406", "409", "422", "431", "500", "503"},
    ("/events/stream", "get"): {"200", "409", "422", "431", "500", "503"},
    ("/events/batch", "post"): {"200", "408", "413", "415", "422", "431", "500", "503"},
    ("/lockers/{locker_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/lockers/{locker_id}/compartments/{compartment_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/reservations/{reservation_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/events/{event_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/reservations/{reservation_id}/state", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/lockers/{locker_id}/events", "get"): {"200", "404", "406", "422", "431", "500", "503"},
    ("/lockers/{locker_id}/compartments/{compartment_id}/events", "get"): {
        *("200", "404", "406", "422", "431", "500", "503"),
    },
    ("/reservations/{reservation_id}/events", "get"): {"200", "404", "406", "422", "431", "500", "503"},
    ("/network", "get"): {"200", "422", "431", "500", "503"},
    ("/network/activity", "get"): {"200", "422", "431", "500", "503"},
    ("/system", "get"): {"200", "422", "431", "500", "503"},
    ("/lockers", "get"): {"200", "406", "422", "431", "500", "503"},
    ("/lockers/{locker_id}/state", "get"): {"200", "304", "404", "422", "431", "500", "503"},
    ("/lockers/{locker_id}/compartments", "get"): {"200", "404", "406", "422", "431", "500", "503"},
    ("/reservations", "get"): {"200", "406", "422", "431", "500", "503"},
    ("/faults", "get"): {"200", "406", "422", "431", "500", "503"},
    ("/search", "get"): {"200", "422", "431", "500", "503"},
    ("/quarantine", "get"): {"200", "404", "406", "422", "431", "500", "503"},
    ("/quarantine/malformed", "get"): {"200", "404", "406", "422", "431", "500", "503"},
    ("/quarantine/{event_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/quarantine/resubmit", "post"): {"200", "404", "408", "413", "415", "422", "431", "500", "503"},
    ("/quarantine/{event_id}/resubmit", "post"): {"200", "202", "403", "404", "409", "422", "431", "500", "503"},
    ("/quarantine/{event_id}/discard", "post"): {"200", "404", "408", "413", "415", "422", "431", "500", "503"},
    ("/keys", "get"): {"200", "406", "422", "431", "500", "503"},
    ("/keys", "post"): {"201", "408", "413", "415", "422", "431", "500", "503"},
    ("/keys/{key_id}", "get"): {"200", "404", "422", "431", "500", "503"},
    ("/keys/{key_id}/revoke", "post"): {"200", "404", "422", "431", "500", "503"},
    ("/keys/{key_id}/rotate", "post"): {"201", "404", "408", "409", "413", "415", "422", "431", "500", "503"},
    ("/audit", "get"): {"200", "406", "422", "431", "500", "503"},
    ("/metrics", "get"): {"200", "406", "431", "500", "503"},
    ("/health/live", "get"): {"200", "431"},
    ("/health/ready", "get"): {"200", "431", "500", "503"},
}
REFUSALS = {"401": "UnauthenticatedBody", "403": "ForbiddenBody"}
OPEN = {("/health/live", "get"), ("/health/ready", "get")}
"""Operations that need no key."""

ANSWERS = {
    operation: statuses | (set() if operation in OPEN else {"401", "403", "429"})
    for operation, statuses in _ANSWERS.items()
}

FIELDS = {
    "EventResponse": {"event_id", "position", "outcome"},
    "LockerSummary": {"locker_id", "compartments", "active_reservations", "degraded_compartments", "state_hash"},
    "CompartmentStatus": {"compartment_id", "degraded", "active_reservation"},
    "ReservationStatus": {"reservation_id", "status"},
    "NetworkSummary": {
        *("lockers", "compartments", "available", "reserved", "occupied", "degraded"),
        *("reservations", "open_faults", "position", "last_event_at"),
    },
    "ReservationCounts": {"CREATED", "DEPOSITED", "PICKED_UP", "EXPIRED"},
    "SeverityCount": {"severity", "count"},
    "LockerPage": {"items", "next"},
    "LockerItem": {
        *("locker_id", "compartments", "available", "reserved", "occupied", "degraded"),
        *("events", "last_event_at", "last_position", "silent", "gone", "usual_silence_seconds"),
    },
    "CompartmentPage": {"items", "next"},
    "CompartmentItem": {
        *("compartment_id", "status", "degraded", "active_reservation", "since", "since_position"),
    },
    "ReservationPage": {"items", "next"},
    "ReservationItem": {
        *("reservation_id", "locker_id", "compartment_id", "status", "created_at", "created_position"),
        *("deposited_at", "deposited_position", "changed_at", "changed_position"),
    },
    "FaultPage": {"items", "next"},
    "FaultItem": {
        *("fault_id", "locker_id", "compartment_id", "severity", "open"),
        *("reported_at", "reported_position", "cleared_at", "cleared_position"),
    },
    "RecordedEvent": {
        *("position", "recorded_at", "recorded_by", "event_id", "occurred_at", "locker_id", "type", "payload", "chain"),
    },
    "EventPage": {"items", "next"},
    "ReservationState": {"reservation_id", "locker_id", "compartment_id", "status", "steps"},
    "ReservationStep": {"status", "position", "recorded_at", "recorded_by", "occurred_at", "event_id"},
    "SearchResult": {"lockers", "compartments", "reservations", "events"},
    "CompartmentMatch": {"locker_id", "compartment_id"},
    "EventMatch": {"event_id", "position"},
    "QuarantinePage": {"items", "next", "totals"},
    "QuarantineCounts": {"open", "discarded", "dropped", "unchecked_duplicates", "malformed"},
    "QuarantineEntry": {
        *("event_id", "kind", "status", "code", "detail", "locker_id", "type", "occurred_at"),
        *("first_at", "last_at", "count", "address", "discarded_at", "discard_reason", "body"),
    },
    "MalformedBodyPage": {"items", "next"},
    "MalformedBodyItem": {"reason", "detail", "first_at", "last_at", "count", "address", "body"},
    "DiscardRequest": {"reason"},
    "ResubmitReport": {"accepted", "refused", "remaining", "items"},
    "ErrorBody": {"detail"},
    "HealthResponse": {"status"},
    "ConflictBody": {"detail", "code"},
    "UnresolvedBody": {"detail", "code"},
    "MalformedBodyErrors": {"detail"},
    "ValidationErrorItem": {"loc", "msg", "type"},
}

OPTIONAL = {"RecordedEvent": {"recorded_by"}, "ReservationStep": {"recorded_by"}}
"""Fields that an event without a key lacks."""

PAGES = {
    "/lockers": "LockerPage",
    "/lockers/{locker_id}/compartments": "CompartmentPage",
    "/reservations": "ReservationPage",
    "/faults": "FaultPage",
    "/quarantine": "QuarantinePage",
    "/quarantine/malformed": "MalformedBodyPage",
    "/keys": "KeyPage",
    "/audit": "AuditPage",
    "/lockers/{locker_id}/events": "EventPage",
    "/lockers/{locker_id}/compartments/{compartment_id}/events": "EventPage",
    "/reservations/{reservation_id}/events": "EventPage",
}

PAST = {
    *("/lockers/{locker_id}", "/lockers/{locker_id}/state", "/lockers/{locker_id}/compartments/{compartment_id}"),
    *("/reservations/{reservation_id}", "/reservations/{reservation_id}/state"),
}
"""Reads that can show a past state."""

LINKED = {"post_event", "get_locker", "get_compartment", "get_reservation"}
"""Operations that the response to an accepted event links to."""

CONFLICTS = {
    "compartment_already_registered",
    "reservation_already_exists",
    "compartment_degraded",
    "compartment_reserved",
    "reservation_not_awaiting_deposit",
    "reservation_expired",
    "reservation_not_awaiting_pickup",
    "reservation_final",
    "unknown_fault",
    "fault_mismatch",
    "fault_already_cleared",
}

PAYLOADS = {
    "CompartmentRegistered": {"compartment_id"},
    "ReservationCreated": {"reservation_id", "compartment_id"},
    "ParcelDeposited": {"reservation_id"},
    "ParcelPickedUp": {"reservation_id"},
    "ReservationExpired": {"reservation_id"},
    "FaultReported": {"compartment_id", "severity"},
    "FaultCleared": {"compartment_id", "fault_event_id"},
}


ID = "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff"
ERROR = {"loc": ["body", 0, "payload"], "msg": "Field required", "type": "missing"}

OUTCOMES: list[dict[str, Any]] = [
    {"event_id": ID, "status": 202, "position": 1},
    {"event_id": ID, "status": 200, "position": 1},
    {"event_id": ID, "status": 500, "detail": "A fault."},
    {"event_id": ID, "status": 409, "code": "compartment_reserved", "detail": "Why."},
    {"event_id": ID, "status": 422, "code": "unknown_compartment", "detail": "Why."},
    {"event_id": ID, "status": 422, "code": "malformed", "detail": [ERROR]},
    {"event_id": None, "status": 422, "code": "malformed", "detail": [ERROR]},
    {"event_id": "no uuid", "status": 422, "code": "malformed", "detail": [ERROR, ERROR]},
]

NO_OUTCOMES: list[Any] = [
    *({}, None, [], "accepted"),
    *({"event_id": ID, "status": status, "position": 1} for status in (201, 409, 422, "202", None)),
    *({"event_id": ID, "status": 202, "position": position} for position in (0, -1, 1.5, "1", None)),
    *({"event_id": event_id, "status": 202, "position": 1} for event_id in (None, 1)),
    {"event_id": ID, "status": 202},
    {"event_id": ID, "position": 1},
    {"status": 202, "position": 1},
    {"event_id": ID, "status": 202, "position": 1, "outcome": "accepted"},
    {"event_id": ID, "status": 202, "position": 1, "code": "compartment_reserved", "detail": "Why."},
    {"event_id": ID, "status": 409, "code": "compartment_reserved"},
    {"event_id": ID, "status": 409, "detail": "Why."},
    {"event_id": ID, "status": 409, "code": "no_such_code", "detail": "Why."},
    {"event_id": ID, "status": 409, "code": "malformed", "detail": [ERROR]},
    {"event_id": None, "status": 409, "code": "compartment_reserved", "detail": "Why."},
    {"event_id": ID, "status": 422, "code": "malformed", "detail": "Why."},
    {"event_id": ID, "status": 422, "code": "malformed", "detail": []},
    {"event_id": ID, "status": 422, "code": "unknown_compartment", "detail": [ERROR]},
    {"status": 422, "code": "malformed", "detail": [ERROR]},
    {"event_id": ID, "status": 400, "code": "malformed", "detail": [ERROR]},
]


def answer_schema(path: str, method: str, status: str) -> Any:
    return CONTRACT["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_the_committed_contract_is_the_served_one(client: TestClient) -> None:
    assert client.get("/openapi.json").json() == CONTRACT, "run `make openapi`, and commit the file that it writes"


def test_it_is_valid_openapi_3_1() -> None:
    validator.validate(CONTRACT)
    assert CONTRACT["openapi"].startswith("3.1")
    assert CONTRACT["info"]["title"] == "Lockstream"


def test_it_declares_these_operations_and_answers_and_no_others() -> None:
    declared = {
        (path, method): set(operation["responses"])
        for path, operations in CONTRACT["paths"].items()
        for method, operation in operations.items()
    }
    assert declared == ANSWERS


def test_every_answer_is_described_and_typed() -> None:
    schemas = {
        (f"{method} {path}", status): answer_schema(path, method, status)
        for (path, method), statuses in ANSWERS.items()
        for status in statuses - {"304"}
        if (path, status) not in (("/events/stream", "200"), ("/metrics", "200"))  # they have no JSON
    }
    for (operation, status), schema in schemas.items():
        if status in ("404", "406", "408", "413", "415", "431", "500", "503"):
            assert schema == reference("ErrorBody"), operation
        if status in REFUSALS:
            assert schema == reference(REFUSALS[status]), operation
    assert schemas["post /events", "200"] == schemas["post /events", "202"] == reference("EventResponse")
    assert schemas["post /events", "409"] == reference("ConflictBody")
    assert schemas["post /events", "422"]["anyOf"] == [reference("MalformedBodyErrors"), reference("UnresolvedBody")]
    assert schemas["post /events/batch", "200"]["type"] == "array"
    assert schemas["post /events/batch", "422"] == reference("MalformedBodyErrors")
    assert schemas["get /lockers/{locker_id}", "200"] == reference("LockerSummary")
    assert schemas["get /lockers/{locker_id}/compartments/{compartment_id}", "200"] == reference("CompartmentStatus")
    assert schemas["get /reservations/{reservation_id}", "200"] == reference("ReservationStatus")
    for path, name in PAGES.items():
        assert schemas[f"get {path}", "200"] == reference(name)
    assert schemas["post /keys", "201"] == schemas["post /keys/{key_id}/rotate", "201"] == reference("NewKeyBody")
    assert schemas["post /quarantine/resubmit", "200"] == reference("ResubmitReport")
    assert schemas["post /quarantine/{event_id}/discard", "200"] == reference("QuarantineEntry")
    assert schemas["get /network", "200"] == reference("NetworkSummary")
    assert schemas["get /search", "200"] == reference("SearchResult")
    assert schemas["get /events", "200"] == reference("FeedBody")
    assert schemas["get /events", "409"] == schemas["get /events/stream", "409"] == reference("CursorRefusedBody")


def test_the_limit_of_a_search_is_declared() -> None:
    description = CONTRACT["paths"]["/search"]["get"]["description"]
    assert f"at most {SEARCHED_BLOCKS} blocks of {BLOCK_POSITIONS} events" in description


@pytest.mark.parametrize("path", [*PAGES, "/network", "/search"])
def test_a_list_has_an_example_of_each_media_type(path: str) -> None:
    content = CONTRACT["paths"][path]["get"]["responses"]["200"]["content"]
    example = content["application/json"]["example"]
    response_validator(path, "get", "200").validate(example)
    if path in PAGES:
        header, row = csv.reader(StringIO(content["text/csv"]["example"], newline=""))
        assert header == list(example["items"][0])
        assert len(row) == len(header)
    assert ("text/csv" in content) == (path in PAGES)


@pytest.mark.parametrize(
    "path",
    [
        *("/lockers/{locker_id}/state", "/reservations/{reservation_id}/state", "/events/{event_id}", "/events"),
        "/quarantine/{event_id}",
    ],
)
def test_states_and_events_have_an_example(path: str) -> None:
    example = CONTRACT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    response_validator(path, "get", "200").validate(example)


def test_a_recorded_event_has_any_payload_and_one_of_seven_types() -> None:
    properties = SCHEMAS["RecordedEvent"]["properties"]
    assert properties["type"]["enum"] == list(EVENT_TYPES)
    payload = properties["payload"]
    assert (payload["type"], payload["additionalProperties"]) == ("object", True)


@pytest.mark.parametrize("path", PAGES)
def test_a_list_has_pages(path: str) -> None:
    operation = CONTRACT["paths"][path]["get"]
    limit, after = [one for one in operation["parameters"] if one["name"] in ("limit", "after")]
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}
    assert after["schema"] == {"type": "string", "minLength": 1}
    assert "Link" in operation["responses"]["200"]["headers"]


def test_reads_of_one_subject_have_a_past() -> None:
    declared = {
        path: parameter
        for path, operations in CONTRACT["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["name"] == "at"
    }
    assert set(declared) == PAST
    for path, parameter in declared.items():
        assert (parameter["in"], parameter["required"]) == ("query", False)
        position, time = parameter["schema"]["oneOf"]
        assert (position["type"], position["minimum"], time["format"]) == ("integer", 0, "date-time")
        header = CONTRACT["paths"][path]["get"]["responses"]["200"]["headers"]["Lockstream-Position"]
        assert header["description"].startswith("The position that `at` stands for.")


@pytest.mark.parametrize("path", [path for path, name in PAGES.items() if name == "EventPage"])
def test_a_history_is_filtered_by_each_type(path: str) -> None:
    [event_type] = [one for one in CONTRACT["paths"][path]["get"]["parameters"] if one["name"] == "type"]
    assert event_type["schema"]["enum"] == list(EVENT_TYPES)


@pytest.mark.parametrize("name", FIELDS)
def test_an_answer_has_exactly_these_fields(name: str) -> None:
    schema = SCHEMAS[name]
    assert set(schema["properties"]) == FIELDS[name]
    assert set(schema["required"]) == FIELDS[name] - OPTIONAL.get(name, set())
    assert schema["additionalProperties"] is False


def test_an_accepted_event_leads_to_what_it_names() -> None:
    links = CONTRACT["paths"]["/events"]["post"]["responses"]["202"]["links"]
    assert {link["operationId"] for link in links.values()} == LINKED
    for name in "locker_id", "payload/compartment_id", "payload/reservation_id":
        assert f"$request.body#/{name}" in str(links)


def test_a_503_says_when_to_try_again() -> None:
    for path, method in (operation for operation, answers in ANSWERS.items() if "503" in answers):
        header = CONTRACT["paths"][path][method]["responses"]["503"]["headers"]["Retry-After"]
        assert header["required"] is True
        assert header["schema"]["type"] == "integer"


def test_null_is_written_as_in_3_1() -> None:
    assert "nullable" not in set(keys_in(CONTRACT))
    active = SCHEMAS["CompartmentStatus"]["properties"]["active_reservation"]
    assert active["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_a_refusal_names_its_code() -> None:
    assert set(SCHEMAS["ConflictBody"]["properties"]["code"]["enum"]) == CONFLICTS
    unresolved = {"unknown_compartment", "unknown_reservation", "reservation_mismatch"}
    assert set(SCHEMAS["UnresolvedBody"]["properties"]["code"]["enum"]) == unresolved


def test_a_reservation_has_one_of_four_statuses() -> None:
    assert SCHEMAS["Status"]["enum"] == ["CREATED", "DEPOSITED", "PICKED_UP", "EXPIRED"]


def test_the_body_of_an_event_is_told_by_its_type() -> None:
    body = CONTRACT["paths"]["/events"]["post"]["requestBody"]
    assert body["required"] is True
    assert body["content"] == {
        "application/json": {"schema": reference("Event")},
        "application/cloudevents+json": {"schema": reference("ReportedCloudEvent")},
    }
    event = SCHEMAS["Event"]
    assert event["oneOf"] == [reference(name) for name in EVENT_TYPES]
    assert event["discriminator"]["propertyName"] == "type"
    assert event["discriminator"]["mapping"] == {name: reference(name)["$ref"] for name in EVENT_TYPES}


def test_a_batch_is_sent_as_a_list_or_as_lines() -> None:
    body = CONTRACT["paths"]["/events/batch"]["post"]["requestBody"]
    assert body["required"] is True
    assert set(body["content"]) == {"application/json", "application/x-ndjson"}
    events = body["content"]["application/json"]["schema"]
    assert (events["type"], events["items"]) == ("array", reference("Event"))


def test_each_event_of_a_batch_has_an_outcome_of_one_of_these_forms() -> None:
    answer = response_validator("/events/batch", "post", "200")
    answer.validate([])
    answer.validate(OUTCOMES)
    assert [outcome for outcome in NO_OUTCOMES if answer.is_valid([*OUTCOMES, outcome])] == []


def test_an_encoding_that_is_not_supported_is_told_which_one_is() -> None:
    for path in "/events", "/events/batch":
        assert "Accept-Encoding" in CONTRACT["paths"][path]["post"]["responses"]["415"]["headers"]


@pytest.mark.parametrize("name", PAYLOADS)
def test_each_event_has_a_schema_of_its_own(name: str) -> None:
    schema = SCHEMAS[name]
    assert set(schema["properties"]) == {"event_id", "occurred_at", "locker_id", "type", "payload"}
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["type"]["const"] == name
    payload = SCHEMAS[schema["properties"]["payload"]["$ref"].rpartition("/")[2]]
    assert set(payload["required"]) == PAYLOADS[name]
    assert payload["additionalProperties"] is True, "further fields are kept"


def keys_in(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
        for value in document.values():
            yield from keys_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys_in(value)


def test_every_operation_names_the_scope_that_its_key_needs() -> None:
    for path, method in ANSWERS:
        operation = CONTRACT["paths"][path][method]
        if (path, method) in OPEN:
            assert operation["security"] == []
        else:
            [[(scheme, [scope])]] = [list(one.items()) for one in operation["security"]]
            assert (scheme, f"`{scope}`" in operation["responses"]["403"]["description"]) == ("ApiKey", True)
    assert CONTRACT["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
