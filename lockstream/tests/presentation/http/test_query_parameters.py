"""Query parameters that an operation does not allow: each error names the parameter, its value and what is allowed."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

HISTORIES = "/lockers/l1/events", "/lockers/l1/compartments/c1/events", "/reservations/r1/events"
PATHS = "/network", "/lockers", "/lockers/l1/compartments", "/reservations", "/faults", "/search", *HISTORIES

BOOLEAN = "Send true or false."
IDENTIFIER = "Send 1 to 128 characters, without control characters and /."
LIMIT = "Send a whole number from 1 to 1,000."
STATUS = "Send CREATED, DEPOSITED, PICKED_UP or EXPIRED."
TYPE = (
    "Send CompartmentRegistered, ReservationCreated, ParcelDeposited, ParcelPickedUp, ReservationExpired, "
    "FaultReported or FaultCleared."
)
TIME = (
    "Send a time with an offset (RFC 3339), such as 2026-11-23T08:00:00Z or 2026-11-23T09:00:00%2B01:00: a URL has "
    "%2B for the plus sign."
)

WRONG = [
    *((f"/lockers?available={text}", BOOLEAN) for text in ("True", "1", "yes", "null")),
    ("/lockers?degraded=FALSE", BOOLEAN),
    *((f"/lockers?q={text}", IDENTIFIER) for text in ("a%2Fb", "%00", "a%0A", "%C2%85", "x" * 129)),
    *(
        (f"/lockers?limit={text}", LIMIT)
        for text in ("0", "1001", "-1", "1.0", "1e2", "%2B1", "01", "%D9%A1", "9" * 5_000)
    ),
    ("/lockers/l1/compartments?status=AVAILABLE", "Send available, reserved, occupied or degraded."),
    *((f"/reservations?status={text}", STATUS) for text in ("created", "DEPOSITED%20", "CREATED,DEPOSITED")),
    ("/reservations?locker_id=%1F", IDENTIFIER),
    *(
        (f"/reservations?changed_before={quote(text)}", TIME)
        for text in ("now", "2026-11-23", "2026-11-23T08:00:00", "2026-02-30T08:00:00Z", "1700000000", "P3D")
    ),
    ("/reservations?changed_after=2026-11-23T09:00:00+01:00", TIME),
    ("/reservations?sort=status", "Send changed or id."),
    ("/reservations?order=newest", "Send asc or desc."),
    ("/faults?open=open", BOOLEAN),
    *((f"/faults?min_severity={text}", "from 0 to 2,147,483,647.") for text in ("-1", "high", "2147483648")),
    ("/search?q=%7F", IDENTIFIER),
    *((f"{path}?type={text}", TYPE) for path in HISTORIES for text in ("parcelDeposited", "Event", "%00")),
    *((f"{path}?order=newest", "Send asc or desc.") for path in HISTORIES),
    *((f"{path}?limit=0", LIMIT) for path in HISTORIES),
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with contract_client(create_app(open_in_memory)) as client:
        yield client


def detail_of_422(client: TestClient, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 422, response.text
    assert list(response.json()) == ["detail"]
    assert client.head(url).status_code == 422
    detail: str = response.json()["detail"]
    return detail


@pytest.mark.parametrize(("url", "allowed"), WRONG, ids=lambda value: value[:50] if "=" in value else "")
def test_a_wrong_value_gets_422(client: TestClient, url: str, allowed: str) -> None:
    name, _, _ = url.partition("?")[2].partition("=")
    detail = detail_of_422(client, url)
    assert detail.startswith(f"The query parameter {name} is '")
    assert detail.endswith(allowed)
    assert len(detail) < 350


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_parameter_gets_422(client: TestClient, path: str) -> None:
    detail = detail_of_422(client, f"{path}?stauts=CREATED")
    assert detail.startswith("The query parameter 'stauts' is unknown. ")


def test_the_error_names_the_parameters(client: TestClient) -> None:
    assert detail_of_422(client, "/lockers?Limit=1") == (
        "The query parameter 'Limit' is unknown. The query parameters are q, available, degraded, silent, gone, sort, "
        "order, limit and after."
    )
    assert detail_of_422(client, "/search?p=1").endswith("The query parameter is q.")
    assert detail_of_422(client, "/network?q=1").endswith("This operation has no query parameters.")
    assert len(detail_of_422(client, f"/network?{'x' * 1_000}=1")) < 200


@pytest.mark.parametrize(
    "url",
    ["/lockers?limit=1&limit=1", "/reservations?status=CREATED&status=DEPOSITED", "/search?q=a&q=b"],
)
def test_a_repeated_parameter_gets_422(client: TestClient, url: str) -> None:
    detail = detail_of_422(client, url)
    name = url.rpartition("&")[2].partition("=")[0]
    assert detail == f"The query parameter {name} is repeated. Send it once."


@pytest.mark.parametrize("text", ["limit=", "limit", "after=", "q=", "available"])
def test_an_empty_parameter_gets_422(client: TestClient, text: str) -> None:
    detail = detail_of_422(client, f"/lockers?{text}")
    assert detail.startswith(f"The query parameter {text.partition('=')[0]} is empty. Send ")
    assert detail.endswith(", or omit it.")


def test_a_required_parameter_cannot_be_omitted(client: TestClient) -> None:
    assert detail_of_422(client, "/search") == f"The query parameter q is missing. {IDENTIFIER}"
    assert detail_of_422(client, "/search?q=") == f"The query parameter q is empty. {IDENTIFIER}"


@pytest.mark.parametrize("query", ["q=%FF", "q=%ED%A0%80", "%FF=1"])
def test_a_query_that_is_not_utf_8_gets_422(client: TestClient, query: str) -> None:
    assert detail_of_422(client, f"/lockers?{query}") == (
        f"The query {query!r} is not percent-encoded UTF-8. Percent-encode each byte that is not ASCII."
    )


@pytest.mark.parametrize("query", ["", "&", "&&limit=1&"])
def test_blanks_between_parameters_do_not_count(client: TestClient, query: str) -> None:
    assert client.get(f"/lockers?{query}").status_code == 200


def test_changes_are_no_filter_of_a_list_by_id(client: TestClient) -> None:
    for name in "changed_before", "changed_after":
        detail = detail_of_422(client, f"/reservations?sort=id&{name}=2026-11-23T08:00:00Z")
        assert detail == (
            "The query parameter sort is 'id', and changed_before and changed_after select by the order of changes. "
            "Send sort=changed, or omit the times."
        )


def test_a_compartment_needs_its_locker(client: TestClient) -> None:
    assert detail_of_422(client, "/faults?compartment_id=c1") == (
        "The query parameter compartment_id needs locker_id, because a compartment's id is unique only in its locker. "
        "Send both."
    )
