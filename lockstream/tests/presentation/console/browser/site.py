"""The console over a simulated network, and a browser that notes everything a page must not do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, Response

from lockstream.presentation.cli.simulate import write_log
from lockstream.presentation.console.pages import PAGES
from lockstream.presentation.console.session import COOKIE
from lockstream.presentation.http.app import Application
from lockstream.settings import Settings
from lockstream.simulator.rhythm import DAY
from lockstream.simulator.simulation import Simulation
from lockstream.tests.presentation.console.calling import console_app
from lockstream.tests.presentation.http.access.conftest import add_keys
from lockstream.tests.support.clients import serving
from lockstream.tests.support.keys import NoFailureLimits, bearer

LOCKERS, DAYS, SEED = 8, 30, 7

WIDE, NARROW = 1440, 390

VIOLATIONS = """
window.refused = [];
addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) =>
  refused.push(`${violatedDirective} ${blockedURI}`));
"""
"""Script that notes what the content security policy refuses."""


_NOT_FOUND = "Failed to load resource: the server responded with a status of"
"""Beginning of a message about a page that was refused. Its scripts have done nothing wrong."""


class Site(NamedTuple):
    """A server with the console over a simulated network."""

    url: str
    app: Application
    keys: Mapping[str, str]
    log: Path
    examples: Mapping[str, str]
    """Ids for the parameters of pages."""

    def api(self) -> httpx.Client:
        """Return a client of the API with a key of all scopes."""
        return httpx.Client(base_url=self.url, headers=bearer(self.keys["all"]), timeout=60)

    def paths(self) -> list[str]:
        """Return the path of each page, with ids of the network."""
        return [self.url + "/console" + path_of(page.path, self.examples) for page in PAGES]

    @property
    def streams(self) -> int:
        """The number of streams of the feed that are open."""
        return self.app.lockstream._streams.count


def path_of(template: str, ids: Mapping[str, str]) -> str:
    """Return the path of a page with ids for its parameters. Refused events have ids of their own."""
    given = {**ids, "event_id": ids["refused_id"]} if template.startswith("/quarantine") else ids
    return template.format(**{name: quote(value, safe="") for name, value in given.items()})


@contextmanager
def simulated_site(folder: Path, lockers: int = LOCKERS, days: int = DAYS) -> Iterator[Site]:
    """Serve the console over a network that the simulator has made, with keys of every kind."""
    log = folder / "event_log.jsonl"
    keys = add_keys(log)
    now = int(time())
    past = write_log(Simulation(lockers, SEED, now - days * DAY), now, log)
    app = console_app(Settings.model_validate({"EVENT_LOG_PATH": log}))
    with serving(app) as url, httpx.Client(base_url=url, headers=bearer(keys["all"]), timeout=60) as client:
        app.lockstream.access.failure_limits = NoFailureLimits()
        refused = b"[" + b",".join(past.refused) + b"]"
        client.post("/events/batch", content=refused).raise_for_status()  # so that the quarantine has them
        yield Site(url, app, keys, log, _examples(client, keys))


def _examples(client: httpx.Client, keys: Mapping[str, str]) -> dict[str, str]:
    def first(path: str) -> dict[str, Any]:
        return next(iter(client.get(path).json()["items"]), {})

    lockers = {one["locker_id"]: one["compartments"] for one in client.get("/lockers?limit=1000").json()["items"]}
    faults = client.get("/faults?open=true&min_severity=3").json()["items"] or client.get("/faults").json()["items"]
    fault = max(faults, key=lambda one: lockers[one["locker_id"]])
    parcel = first("/reservations?status=DEPOSITED&order=asc")
    return {
        "locker_id": fault["locker_id"],
        "compartment_id": fault["compartment_id"],
        "reservation_id": parcel["reservation_id"],
        "event_id": fault["fault_id"],
        "refused_id": first("/quarantine")["event_id"],
        "key_id": keys["all"].split("_")[1],
    }


class Watched(NamedTuple):
    """A page of a browser, and everything that it must not have done."""

    page: Page
    faults: list[str]

    def require_no_fault(self) -> None:
        """Require that no script has failed, that no policy was broken, and that no other host was asked."""
        assert self.faults == []
        assert self.page.evaluate("window.refused") == []


def require_accessible(page: Page, where: str) -> None:
    """Require that axe finds nothing on a page."""
    found = [
        (violation["id"], [node["target"] for node in violation["nodes"]], violation["nodes"][0]["failureSummary"])
        for violation in Axe().run(page).response["violations"]
    ]
    assert found == [], where


@contextmanager
def watched_page(
    browser: Browser,
    site_url: str,
    key: str = "",
    *,
    theme: Literal["light", "dark"] = "light",
    width: int = WIDE,
    has_scripts: bool = True,
) -> Iterator[Watched]:
    """Give a page in a browser of its own, signed in with a key, which notes what it must not do."""
    context = browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": 900},
        java_script_enabled=has_scripts,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(60_000)
    try:
        if key:
            sign_in(context, site_url, key)
        yield _watched(context, site_url)
    finally:
        context.close()


def sign_in(context: BrowserContext, site_url: str, key: str) -> None:
    """Give a browser the cookie of a session."""
    host, port = urlsplit(site_url).hostname or "", urlsplit(site_url).port
    name = f"{COOKIE}_{port}"
    context.add_cookies(
        [{"name": name, "value": key, "domain": host, "path": "/console", "httpOnly": True, "sameSite": "Strict"}]
    )


def _watched(context: BrowserContext, site_url: str) -> Watched:
    page, faults = context.new_page(), list[str]()

    def note_request(request: Request) -> None:
        if not request.url.startswith((site_url, "data:,")):
            faults.append(f"asked for {request.url}")

    def note_response(response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            faults.append(f"was refused {response.url}: {response.status}")

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_NOT_FOUND):
            faults.append(f"printed: {message.text}")

    def note_dialog(dialog: Dialog) -> None:
        faults.append(f"opened a dialog: {dialog.message}")
        dialog.dismiss()

    page.add_init_script(VIOLATIONS)
    page.on("request", note_request)
    page.on("response", note_response)
    page.on("pageerror", lambda error: faults.append(f"failed: {error}"))
    page.on("console", note_message)
    page.on("dialog", note_dialog)
    return Watched(page, faults)
