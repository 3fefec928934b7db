"""Fixtures: one browser and one server over a simulated network, which all tests of this folder share.

They import Playwright when they are used, so that a run without the development packages skips these tests.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from lockstream.tests.support.browsers import BROWSER

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from lockstream.tests.presentation.console.browser.site import Site, Watched


@pytest.fixture(scope="package")
def browser() -> "Iterator[Browser]":
    """The browser of the system, which reaches no host but this one."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # so that a slow machine fails no test
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield started
        started.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Site]":
    """A server over a simulated network. Tests that change it add lockers of their own."""
    from lockstream.tests.presentation.console.browser.site import simulated_site

    with simulated_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def watched(browser: "Browser", site: "Site") -> "Iterator[Watched]":
    """A page of a person who may do everything. At the end it must have done nothing that is forbidden."""
    from lockstream.tests.presentation.console.browser.site import watched_page

    with watched_page(browser, site.url, site.keys["all"]) as watched:
        yield watched
        watched.require_no_fault()
