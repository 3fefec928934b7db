"""/docs, which needs nothing from the internet."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

PAGE = "http://testserver/docs"
TIMEOUT_SECONDS = 120

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)


class Page(HTMLParser):
    """What a page names: the addresses that a browser fetches on its own, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.fetched += [value for name, value in attributes if name in ("src", "href") and value and tag != "a"]

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.fixture
def page(client: TestClient) -> Page:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Lockstream</title>" in answer.text
    return Page(answer.text)


def test_every_file_that_the_page_names_is_served_by_us(client: TestClient, page: Page) -> None:
    kinds = {}
    for named in page.fetched:
        url = urljoin(PAGE, named)
        assert url.startswith("http://testserver/"), f"{named} is on another host"
        answer = client.get(url)
        assert (answer.status_code, len(answer.content) > 100) == (200, True), named
        kinds[Path(named).suffix] = answer.headers["content-type"].partition(";")[0].rpartition("/")[2]
    assert kinds == {".css": "css", ".js": "javascript", ".png": "png"}


def test_the_page_reads_the_served_contract_and_names_no_other_host(client: TestClient, page: Page) -> None:
    scripts = "".join(page.scripts)
    assert not re.findall(r"""["'](?:https?:)?//[^"']+""", scripts)
    (contract,) = re.findall(r"url: '([^']+)'", scripts)
    assert client.get(urljoin(PAGE, contract)).json()["info"]["title"] == "Lockstream"


def test_the_styles_fetch_nothing_from_elsewhere(client: TestClient, page: Page) -> None:
    (styles,) = (client.get(urljoin(PAGE, named)).text for named in page.fetched if named.endswith(".css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


@pytest.mark.parametrize("path", ["/docs/assets/none.js", "/docs/assets/", "/docs/assets/..%2Fmain.py"])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
def test_a_browser_shows_the_operations(served: str, tmp_path: Path) -> None:
    """The browser finds no host but ours."""
    shown = subprocess.run(
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
    paths = "/events", "/lockers/{locker_id}", "/lockers/{locker_id}/compartments/{compartment_id}"
    for path in (*paths, "/reservations/{reservation_id}"):
        assert f'data-path="{path}"' in shown
