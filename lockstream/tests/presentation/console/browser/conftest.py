"""Fixtures: one browser and one server over a simulated network, which all tests of this folder share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from lockstream.tests.presentation.console.browser.site import Site, Watched, simulated_site, watched_page
from lockstream.tests.support.browsers import BROWSER

expect.set_options(timeout=60_000)  # so that a slow machine fails no test


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser of the system, which reaches no host but this one."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield started
        started.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server over a simulated network. Tests that change it add lockers of their own."""
    with simulated_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def watched(browser: Browser, site: Site) -> Iterator[Watched]:
    """A page of a person who may do everything. At the end it must have done nothing that is forbidden."""
    with watched_page(browser, site.url, site.keys["all"]) as watched:
        yield watched
        watched.require_no_fault()
