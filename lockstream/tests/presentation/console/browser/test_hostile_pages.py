"""Hostile identifiers in a browser: nothing runs, no dialog opens, and no element comes from them."""

import httpx
import pytest
from playwright.sync_api import Browser

from lockstream.presentation.console.entry import make_console
from lockstream.presentation.http.app import create_app
from lockstream.settings import Settings
from lockstream.tests.presentation.console.browser.site import watched_page
from lockstream.tests.presentation.console.hostile import SUBJECTS
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import Body
from lockstream.tests.support.clients import serving
from lockstream.tests.support.keyed_clients import NO_KEYS
from lockstream.tests.support.memory_system import open_in_memory

pytestmark = needs_browser

FOREIGN = ", ".join(f"main {one}" for one in ("img", "script", "iframe", "style", "[onerror]", "[onfocus]"))
"""Elements that no page has."""


@pytest.mark.parametrize("index", range(4))
def test_hostile_identifiers_do_nothing(browser: Browser, index: int) -> None:
    settings = Settings.model_validate(NO_KEYS)
    app = create_app(open_in_memory, lambda: settings, make_console)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as client, watched_page(browser, url) as watched:
        page = watched.page
        subjects = SUBJECTS[index:12:4]
        stories: list[list[Body]] = [subject.story() for subject in subjects]
        for story in stories:
            assert [item["status"] for item in client.post("/events/batch", json=story).json()] == [202] * 5 + [422]
        for subject, story in zip(subjects, stories, strict=True):
            ids = {"accepted": story[0]["event_id"], "refused": story[-1]["event_id"]}
            for address in subject.urls(ids):
                page.goto(url + address)
                assert page.locator(FOREIGN).count() == 0, address
                doors = page.locator("a[data-dialog]")
                if doors.count():
                    doors.first.click()
                    page.get_by_role("dialog").wait_for()
                watched.faults[:] = [fault for fault in watched.faults if "status of 4" not in fault]
                watched.require_no_fault()
