"""Lists as CSV, and the choice between CSV and JSON by Accept."""

import csv
import re
import time
from collections.abc import Iterator
from io import StringIO
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient
from msgspec import Struct

from lockstream.presentation.http.app import create_app
from lockstream.schemas.listings import encode_csv_rows
from lockstream.tests.presentation.http.routes.network import FAULTS, client_of_network, post, time_on
from lockstream.tests.support.builders import fault_reported, registered, reserved
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.memory_system import open_in_memory

CSV = {"Accept": "text/csv"}
NAMES = {
    "/lockers": "lockers",
    "/lockers/l1/compartments": "compartments",
    "/reservations": "reservations",
    "/faults": "faults",
    "/lockers/l1/events": "locker-events",
    "/lockers/l1/compartments/c1/events": "compartment-events",
    "/reservations/r2/events": "reservation-events",
}
"""The names of the files, without their ending, by path."""

LISTS = tuple(NAMES)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of_network(monkeypatch) as client:
        yield client


@pytest.fixture
def empty_client() -> Iterator[TestClient]:
    with contract_client(create_app(open_in_memory)) as client:
        yield client


def test_lockers_as_csv(client: TestClient) -> None:
    response = client.get("/lockers", headers=CSV)
    assert response.content.decode() == (
        "locker_id,compartments,available,reserved,occupied,degraded,events,last_event_at,last_position,"
        "silent,gone,usual_silence_seconds\r\n"
        f"l1,4,1,1,1,2,12,{time_on(22)},14,false,false,\r\n"
        f"l2,1,1,0,0,0,5,{time_on(23)},17,false,false,\r\n"
    )


def test_compartments_as_csv(client: TestClient) -> None:
    response = client.get("/lockers/l1/compartments?status=degraded", headers=CSV)
    assert response.content.decode() == (
        "compartment_id,status,degraded,active_reservation,since,since_position\r\n"
        f"c1,reserved,true,r3,{time_on(22)},14\r\n"
        f"c3,degraded,true,,{time_on(21)},9\r\n"
    )


def test_reservations_as_csv(client: TestClient) -> None:
    response = client.get("/reservations?sort=id&limit=2", headers=CSV)
    assert response.content.decode() == (
        "reservation_id,locker_id,compartment_id,status,created_at,created_position,deposited_at,deposited_position,"
        "changed_at,changed_position\r\n"
        f"r0,l2,c1,EXPIRED,{time_on(23)},16,,,{time_on(23)},17\r\n"
        f"r1,l1,c2,DEPOSITED,{time_on(20)},7,{time_on(21)},10,{time_on(21)},10\r\n"
    )


def test_faults_as_csv(client: TestClient) -> None:
    response = client.get("/faults?order=asc&limit=2", headers=CSV)
    assert response.content.decode() == (
        "fault_id,locker_id,compartment_id,severity,open,reported_at,reported_position,cleared_at,cleared_position\r\n"
        f"{FAULTS[0]['event_id']},l1,c3,3,true,{time_on(21)},9,,\r\n"
        f"{FAULTS[1]['event_id']},l2,c1,0,false,{time_on(22)},13,{time_on(23)},15\r\n"
    )


@pytest.mark.parametrize("path", LISTS)
def test_csv_is_a_file_with_the_rows_of_the_json(client: TestClient, path: str) -> None:
    as_json, as_csv = client.get(path), client.get(path, headers=CSV)
    assert as_csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert as_csv.headers["Content-Disposition"] == f'attachment; filename="{NAMES[path]}.csv"'
    assert as_csv.headers["Lockstream-Position"] == as_json.headers["Lockstream-Position"]
    assert "Content-Disposition" not in as_json.headers
    rows = list(csv.DictReader(StringIO(as_csv.text, newline="")))
    columns = [
        [name for name in row if name != "recorded_by"] for row in rows
    ]  # JSON of an event without a key lacks it
    assert columns == [list(item) for item in as_json.json()["items"]]
    assert [path for row in rows if "recorded_by" in row and not path.endswith("/events")] == []
    assert client.head(path, headers=CSV).headers == as_csv.headers


@pytest.mark.parametrize("path", LISTS)
def test_pages_of_csv_are_linked(client: TestClient, path: str) -> None:
    page = client.get(f"{path}?limit=1", headers=CSV)
    as_json = client.get(f"{path}?limit=1")
    assert page.headers["Link"] == as_json.headers["Link"]
    following = client.get(urljoin(str(page.url), page.links["next"]["url"]), headers=CSV)
    whole = client.get(f"{path}?limit=2", headers=CSV)
    assert page.text + following.text.partition("\r\n")[2] == whole.text


def test_an_empty_list_is_a_header_row(empty_client: TestClient) -> None:
    assert empty_client.get("/lockers", headers=CSV).text.count("\r\n") == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'"])
def test_an_id_that_a_spreadsheet_could_run_or_that_looks_quoted_gets_an_apostrophe(
    empty_client: TestClient, start: str
) -> None:
    # given ids that begin as a formula does, or with an apostrophe
    formula = f'{start}HYPERLINK("http:evil","x")'
    post(empty_client, [registered(formula, locker=formula), reserved(formula, formula, locker=formula)])
    post(empty_client, [fault_reported(3, formula, locker=formula)])
    quoted = "\"'" + formula.replace('"', '""') + '"'
    # when each list is read as CSV, then each such cell begins with an apostrophe
    for path, cells in ("/lockers", 1), ("/reservations", 3), ("/faults", 2):
        text = empty_client.get(path, headers=CSV).text
        assert text.count(quoted) == text.count("HYPERLINK") == cells
    # and JSON has the ids as they are
    assert empty_client.get("/lockers").json()["items"][0]["locker_id"] == formula


class Cell(Struct):
    """An item with one text."""

    text: str


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1", "a;'=1"),
        ("a; =1", "a; '=1"),
        ('a;"=1', "a;\"'=1"),
        ('a; ""=1;', 'a; ""\'=1;'),
        ("a;'=1", "a;''=1"),
        ("a\n@b", "a\n'@b"),
        ("\t=a", "'\t'=a"),
        ("a;b=1; c-d", "a;b=1; c-d"),
    ],
)
def test_a_text_that_a_spreadsheet_could_split_gets_an_apostrophe_where_a_formula_would_begin(
    text: str, cell: str
) -> None:
    """The list separator of a spreadsheet is a semicolon in many countries."""
    [row] = csv.reader(StringIO(encode_csv_rows([Cell(text)]).decode(), newline=""))
    assert row == [cell]
    assert re.sub(r"(^|[;\t\r\n][ \"]*)'(?=[-=+@\t\r'])", r"\1", cell) == text


def test_commas_quotes_and_letters_of_all_scripts_are_kept(empty_client: TestClient) -> None:
    odd = 'Zürich, "Nord" ロッカー 📦'
    post(empty_client, [registered(odd, locker=odd)])
    content = empty_client.get("/lockers", headers=CSV).content
    assert '\r\n"Zürich, ""Nord"" ロッカー 📦",1,1,'.encode() in content
    assert [row["locker_id"] for row in csv.DictReader(StringIO(content.decode(), newline=""))] == [odd]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("APPLICATION/JSON; charset=utf-8", "json"),
        ("application/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/csv,application/json", "json"),
        ("text/csv;q=0.5,application/json;q=0.5", "json"),
        ("no media type", "json"),
        ("text/csv", "csv"),
        ("Text/CSV; charset=utf-8; header=present", "csv"),
        ("text/*", "csv"),
        ("text/csv, */*;q=0.1", "csv"),
        ("application/json;q=0.5,text/csv;q=0.501", "csv"),
        ("application/json;q=0.9 , text/csv ; q=1.0", "csv"),
        ("*/*;q=1, application/json;q=0", "csv"),
        ("application/*;q=0.2, text/*;q=0.3", "csv"),
        ("application/json;q=0, text/csv;q=0.001", "csv"),
        ('text/csv;x="a,b;q=0", application/json;q=0.2', "csv"),
        ("nonsense, text/csv", "csv"),
        ("text/csv;q=2, application/json;q=0.1", "json"),
        ("text/html", None),
        ("text/csv;q=0", None),
        ("*/*;q=0", None),
        ("application/xml, text/plain;q=0.5", None),
        ("text/*, text/csv;q=0, application/json;q=0.0", None),
    ],
)
def test_accept_decides(client: TestClient, accept: str | None, expected: str | None) -> None:
    if accept is None:
        del client.headers["accept"]
    response = client.get("/lockers", headers={} if accept is None else {"Accept": accept})
    if expected is None:
        assert response.status_code == 406
        assert response.json()["detail"] == f"Accept is {accept!r}. Send application/json or text/csv, or omit Accept."
    else:
        assert response.status_code == 200
        assert response.headers["Content-Type"].partition(";")[0].endswith(expected)
        assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize("text", ['"', '"\\', '\\"', ",;", "a/b;", "a/b,"])
def test_a_long_accept_header_takes_no_time(client: TestClient, text: str) -> None:
    started = time.monotonic()
    assert client.get("/lockers", headers={"Accept": text * 20_000}).status_code in (200, 406)
    assert time.monotonic() - started < 1


def test_several_accept_headers_are_one(client: TestClient) -> None:
    response = client.get("/lockers", headers=[("Accept", "application/json;q=0.1"), ("Accept", "text/csv")])
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"


def test_errors_of_csv_requests_are_json(client: TestClient) -> None:
    for path, status in ("/lockers/l9/compartments", 404), ("/lockers?x=1", 422):
        response = client.get(path, headers=CSV)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/json")
