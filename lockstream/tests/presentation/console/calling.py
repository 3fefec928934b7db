"""Applications with the console for tests, browsers that are signed in to them, and the pages as elements."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from fastapi.testclient import TestClient

from lockstream.presentation.console.entry import make_console
from lockstream.presentation.console.pages import PAGES
from lockstream.presentation.console.session import COOKIE
from lockstream.presentation.http.app import Application, create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings

ORIGIN = "http://testserver"

FROM_HERE = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
"""Headers that a browser sends with a form of a page of the console."""


def console_app(settings: Settings) -> Application:
    """Return the application over the log of the settings, with the console."""
    return create_app(lambda: deployment_of(settings).start(), lambda: settings, make_console)


@contextmanager
def console_client(settings: Settings, app: Application | None = None, **more: Any) -> Iterator[TestClient]:
    """Give a client of the console. It follows no redirects, and keeps no cookies."""
    with TestClient(app or console_app(settings), follow_redirects=False, **more) as client:
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield client


def session(key: str) -> dict[str, str]:
    """Return the header of a browser that is signed in with a key."""
    return {"Cookie": f"{COOKIE}={key}"}


def page_paths(values: Mapping[str, str]) -> list[str]:
    """Return the path of each page of the console, with values for the parameters, which are quoted already."""
    return [f"/console{page.path.format(**values)}" for page in PAGES]


class Document(HTMLParser):
    """The elements of a page: their names, their attributes, and their texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        """Return the values of an attribute of all elements."""
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


def document(client: TestClient, path: str, key: str = "", status: int = 200) -> Document:
    """Return a page, which a browser with the session of `key` asks for."""
    response = client.get(path, headers=session(key) if key else {})
    assert response.status_code == status, (path, response.status_code, response.text[:2000])
    return Document(response.text)
