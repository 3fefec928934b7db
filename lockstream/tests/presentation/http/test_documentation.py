"""GET /docs: an API documentation that loads nothing from the internet."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.support.browsers import BROWSER, needs_browser

PAGE = "http://testserver/docs"
TIMEOUT_SECONDS = 120


class Page(HTMLParser):
    """The URLs that a browser fetches for a page, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self._is_in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._is_in_script = tag == "script"
        self.fetched += [value for name, value in attributes if name in ("src", "href") and value and tag != "a"]

    def handle_data(self, data: str) -> None:
        if self._is_in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_in_script = False


@pytest.fixture
def page(client: TestClient) -> Page:
    response = client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Lockstream</title>" in response.text
    return Page(response.text)


def test_every_file_of_the_page_is_served_by_lockstream(client: TestClient, page: Page) -> None:
    media_types = {}
    for name in page.fetched:
        url = urljoin(PAGE, name)
        assert url.startswith("http://testserver/"), f"{name} is on another host"
        response = client.get(url)
        assert (response.status_code, len(response.content) > 100) == (200, True), name
        media_types[Path(name).suffix] = response.headers["content-type"].partition(";")[0].rpartition("/")[2]
    assert media_types == {".css": "css", ".js": "javascript", ".png": "png"}


def test_the_page_reads_the_served_contract_and_names_no_other_host(client: TestClient, page: Page) -> None:
    scripts = "".join(page.scripts)
    assert not re.findall(r"""["'](?:https?:)?//[^"']+""", scripts)
    (contract,) = re.findall(r"url: '([^']+)'", scripts)
    assert client.get(urljoin(PAGE, contract)).json()["info"]["title"] == "Lockstream"


def test_the_style_sheet_loads_nothing_from_another_host(client: TestClient, page: Page) -> None:
    (styles,) = (client.get(urljoin(PAGE, name)).text for name in page.fetched if name.endswith(".css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


@pytest.mark.parametrize("path", ["/docs/assets/none.js", "/docs/assets/", "/docs/assets/..%2Fmain.py"])
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@needs_browser
def test_a_browser_shows_the_operations(served: str, tmp_path: Path) -> None:
    # given a browser that can reach no host but ours, when it opens the page
    dom = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{served}/docs",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    ).stdout
    # then it shows the operations
    paths = "/events", "/lockers/{locker_id}", "/lockers/{locker_id}/compartments/{compartment_id}"
    for path in (*paths, "/reservations/{reservation_id}"):
        assert f'data-path="{path}"' in dom
