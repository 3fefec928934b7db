"""Live pages: events arrive, a person pauses, a hidden tab lets go of its stream, a revoked key ends the session."""

import re
from contextlib import closing

from playwright.sync_api import Browser, Page, expect

from lockstream.core.entities.access import Scope
from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.core.use_cases.manage_keys import revoke
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.tests.presentation.console.browser.site import NARROW, Site, Watched, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import Body, deposited, fault_reported, registered, reserved
from lockstream.tests.support.keys import NOW, OPERATOR, created, request
from lockstream.tests.support.processes import wait_until

pytestmark = needs_browser

HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Script that has the page believe that its tab is hidden, or is seen again."""


def report(site: Site, *events: Body) -> None:
    with site.api() as api:
        statuses = [item["status"] for item in api.post("/events/batch", json=events).json()]
    assert statuses == [202] * len(events)


def open_wall(page: Page, site: Site, locker: str) -> None:
    """Open the wall of a new locker with one door, and wait for its stream."""
    before = site.streams
    report(site, registered("A1", locker=locker))
    page.goto(f"{site.url}/console/lockers/{locker}")
    expect(page.locator("#status")).to_contain_text("Live")
    wait_until(lambda: site.streams == before + 1)


def open_live(page: Page, url: str) -> None:
    """Open a page that follows the feed from its own position on."""
    page.goto(url)
    expect(page.locator("#status")).to_contain_text("Live")


def test_a_wall_shows_an_event_as_it_arrives(site: Site, watched: Watched) -> None:
    page = watched.page
    open_wall(page, site, "live-1")
    report(site, reserved("live-parcel-1", "A1", locker="live-1"))
    expect(page.locator(".door")).to_have_class(re.compile("door--reserved"))
    report(site, deposited("live-parcel-1", locker="live-1"))
    expect(page.locator(".door")).to_have_class(re.compile("door--occupied"))
    expect(page.locator("#events")).to_contain_text("Deposited")


def test_the_feed_shows_an_event_as_it_arrives(site: Site, watched: Watched) -> None:
    page = watched.page
    before = site.streams
    page.goto(f"{site.url}/console/feed")
    wait_until(lambda: site.streams == before + 1)
    report(site, registered("<b>A1", locker="fed-<i>1"))
    row = page.locator("#list li").first
    expect(row).to_contain_text("fed-<i>1")
    expect(row).to_contain_text("<b>A1")
    # and a fault is marked as the rules judge it
    for severity, marked in ((DEGRADING_SEVERITY - 1, "severity--low"), (DEGRADING_SEVERITY, "severity--high")):
        report(site, fault_reported(severity, "<b>A1", locker="fed-<i>1"))
        mark = page.locator("#list li").first.locator(".severity")
        expect(mark).to_have_text(str(severity))
        expect(mark).to_have_class(re.compile(marked))
    # and a paused feed waits
    page.keyboard.press("p")
    report(site, registered("A2", locker="fed-<i>1"))
    expect(page.locator("#status")).to_contain_text("Paused, 1 behind")
    expect(row).to_contain_text("<b>A1")
    page.keyboard.press("p")
    expect(row).to_contain_text("A2")


def test_a_list_that_an_event_has_renewed_loads_its_next_page(site: Site, watched: Watched) -> None:
    # given a list of parcels whose rows were replaced, because there is a new parcel
    page, before = watched.page, site.streams
    page.goto(f"{site.url}/console/reservations?order=desc&limit=60")
    wait_until(lambda: site.streams == before + 1)
    report(site, registered("A1", locker="listed-1"), reserved("listed-parcel-1", "A1", locker="listed-1"))
    expect(page.locator("#list")).to_contain_text("listed-parcel-1")
    # when a person scrolls to the end, then the next page follows
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#list tbody")).not_to_have_count(1)


def test_a_person_pauses_and_goes_on(site: Site, watched: Watched) -> None:
    page = watched.page
    open_wall(page, site, "live-2")
    page.keyboard.press("p")
    expect(page.locator("#status")).to_contain_text("Paused, 0 behind")
    report(site, reserved("live-parcel-2", "A1", locker="live-2"))
    expect(page.locator("#status")).to_contain_text("Paused, 1 behind")
    expect(page.locator(".door")).to_have_class(re.compile("door--available"))
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".door")).to_have_class(re.compile("door--reserved"))
    expect(page.locator("#status")).to_contain_text("Live")


def test_a_pause_moves_nothing_on_a_telephone_and_only_the_state_is_announced(browser: Browser, site: Site) -> None:
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        page = watched.page
        page.goto(f"{site.url}/console/lockers")
        state = page.locator("#status").get_by_role("status")
        expect(state).to_have_text("Live")
        height = "document.querySelector('.bar').getBoundingClientRect().height"
        live = page.evaluate(height)
        page.keyboard.press("p")
        expect(state).to_have_text("Paused, 0 behind")
        assert page.evaluate(height) == live
        expect(page.locator("#status")).to_contain_text("As of position")


def test_a_hidden_tab_closes_its_stream_and_catches_up_when_it_is_seen_again(site: Site, watched: Watched) -> None:
    page = watched.page
    open_wall(page, site, "live-3")
    open_streams = site.streams
    page.evaluate(HIDE, True)
    wait_until(lambda: site.streams == open_streams - 1)
    report(site, reserved("live-parcel-3", "A1", locker="live-3"))
    page.evaluate(HIDE, False)
    expect(page.locator(".door")).to_have_class(re.compile("door--reserved"))
    wait_until(lambda: site.streams == open_streams)
    # and it follows again
    report(site, deposited("live-parcel-3", locker="live-3"))
    expect(page.locator(".door")).to_have_class(re.compile("door--occupied"))


def test_a_page_that_is_left_lets_go_of_its_stream(site: Site, watched: Watched) -> None:
    open_wall(watched.page, site, "live-4")
    open_streams = site.streams
    watched.page.goto(f"{site.url}/console/sign-in")
    wait_until(lambda: site.streams == open_streams - 1)


def test_a_person_is_signed_out_when_the_key_is_revoked(browser: Browser, site: Site) -> None:
    with closing(FileKeyStore(site.log)) as store:
        key = created(store, request(Scope.READ, Scope.FEED))
        with site.api() as api:
            wait_until(lambda: api.get("/lockers", headers={"Authorization": f"Bearer {key.text}"}).is_success)
        with watched_page(browser, site.url, key.text) as watched:
            page = watched.page
            page.goto(f"{site.url}/console/lockers?degraded=false")
            expect(page.locator("#status")).to_contain_text("Live")
            # when
            store.change(lambda keys: revoke(keys, key.key.key_id, OPERATOR, NOW + 1))
            # then the page leads to the sign-in page, which says why
            page.wait_for_url("**/console/sign-in?*")
            expect(page.get_by_role("alert")).to_contain_text("the key was revoked")
            # and another key leads back
            page.get_by_label("API key").fill(site.keys["all"])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/console/lockers?degraded=false")


def test_a_key_without_the_feed_reads_its_page_now_and_then(browser: Browser, site: Site) -> None:
    with watched_page(browser, site.url, site.keys["read"]) as watched:
        before = site.streams
        watched.page.goto(f"{site.url}/console/lockers")
        expect(watched.page.locator("#status")).to_contain_text("Live")
        with watched.page.expect_request("**/console/lockers", timeout=60_000):
            pass
        assert site.streams == before
        watched.require_no_fault()


def test_hiding_and_pausing_a_page_leave_no_reads_behind(browser: Browser, site: Site) -> None:
    with watched_page(browser, site.url, site.keys["read"]) as watched:
        page, reads = watched.page, list[str]()
        page.clock.install()
        page.goto(f"{site.url}/console/lockers")
        expect(page.locator("#status")).to_contain_text("Live")
        # given a page of a key without the feed, which was hidden and seen again three times
        for is_hidden in (True, False) * 3:
            page.evaluate(HIDE, is_hidden)
        page.clock.run_for(5_000)
        # when ten seconds pass, then it is read once
        page.on("request", lambda request: reads.append(request.url))
        page.clock.run_for(10_000)
        assert len(reads) == 1
        # and not while it is paused
        page.keyboard.press("p")
        page.clock.run_for(30_000)
        assert len(reads) == 1


def test_a_filter_of_the_feed_holds_for_events_that_arrive(site: Site, watched: Watched) -> None:
    page = watched.page
    before = site.streams
    page.goto(f"{site.url}/console/feed")
    wait_until(lambda: site.streams == before + 1)
    report(site, registered("A1", locker="filtered-1"))
    expect(page.locator("#list li").first).to_contain_text("filtered-1")
    with page.expect_request("**/api/events/stream?*locker_id=filtered-1"):
        page.get_by_label("Locker", exact=True).fill("filtered-1")
    expect(page.locator("#list li")).to_have_count(1)
    report(site, registered("A2", locker="other-1"), registered("A3", locker="filtered-1"))
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator("#list li").first).to_contain_text("A3")


def test_a_filter_of_the_feed_shows_each_event_once(site: Site, watched: Watched) -> None:
    # given a feed of one locker, while another one reports
    page = watched.page
    report(site, registered("A1", locker="once-1"))
    open_live(page, f"{site.url}/console/feed?locker_id=once-1")
    report(site, registered("A1", locker="once-2"))
    page.keyboard.press("p")
    # when the filter of the paused feed is changed, then the events that came before are there once
    with page.expect_request("**/api/events/stream?*locker_id=once-2"):
        page.get_by_label("Locker", exact=True).fill("once-2")
    expect(page.locator("#list li")).to_have_count(1)
    # and the events that come after are counted, and then shown
    report(site, registered("A2", locker="once-2"))
    expect(page.locator("#status")).to_contain_text("Paused, 1 behind")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator("#list li").first).to_contain_text("A2")


def test_a_paused_page_counts_on_after_its_tab_was_hidden(site: Site, watched: Watched) -> None:
    page = watched.page
    report(site, registered("A1", locker="live-5"))
    open_live(page, f"{site.url}/console/lockers/live-5")
    page.keyboard.press("p")
    page.evaluate(HIDE, True)
    report(site, reserved("live-parcel-5", "A1", locker="live-5"))
    page.evaluate(HIDE, False)
    expect(page.locator("#status")).to_contain_text("Paused, 1 behind")
    report(site, deposited("live-parcel-5", locker="live-5"))
    expect(page.locator("#status")).to_contain_text("Paused, 2 behind")
    expect(page.locator(".door")).to_have_class(re.compile("door--available"))


def test_what_a_reader_has_opened_stays_open(site: Site, watched: Watched) -> None:
    # given the page of a parcel, on which a reader has opened the event of its reservation
    page = watched.page
    report(site, registered("A1", locker="read-1"), reserved("read-parcel-1", "A1", locker="read-1"))
    open_live(page, f"{site.url}/console/reservations/read-parcel-1")
    summary = page.locator("#parcel summary").first
    summary.press("Enter")
    expect(page.locator("#parcel .raw").first).to_be_visible()
    # when the page is replaced, because the parcel was deposited
    report(site, deposited("read-parcel-1", locker="read-1"))
    expect(page.locator("#parcel .step")).to_have_count(3)
    # then that event is open, no other is, and the keyboard is where it was
    expect(page.locator("#parcel .raw").first).to_be_visible()
    expect(page.locator("#parcel .raw").last).to_be_hidden()
    expect(summary).to_be_focused()


def test_a_part_is_kept_while_its_text_is_selected(site: Site, watched: Watched) -> None:
    page = watched.page
    report(site, registered("A1", locker="held-1"))
    open_live(page, f"{site.url}/console/lockers/held-1")
    report(site, reserved("held-parcel-1", "A1", locker="held-1"))
    expect(page.locator("#events")).to_contain_text("held-parcel-1")
    # given a text that a reader has selected
    shown = page.locator("#status b").inner_text()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#events .event'))")
    # when an event arrives, then the other parts show it, and the bar says that one does not
    report(site, deposited("held-parcel-1", locker="held-1"))
    expect(page.locator(".door")).to_have_class(re.compile("door--occupied"))
    expect(page.locator("#status")).to_contain_text("On hold, 1 behind")
    expect(page.locator("#events")).not_to_contain_text("Deposited")
    assert page.evaluate("String(getSelection())")
    assert page.locator("#status b").inner_text() == shown
    # and without a selection the part is read again
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator("#events")).to_contain_text("Deposited")
    expect(page.locator("#status")).to_contain_text("Live")


def test_a_list_with_further_rows_is_paused(site: Site, watched: Watched) -> None:
    # given a list that a person has scrolled, so that its next page was added
    page = watched.page
    open_live(page, f"{site.url}/console/reservations?order=desc&limit=60")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#list tbody")).not_to_have_count(1)
    # when there is a new parcel, then the bar says that the list lacks it
    report(site, registered("A1", locker="long-list-1"), reserved("long-parcel-1", "A1", locker="long-list-1"))
    expect(page.locator("#status")).to_contain_text("Paused, 2 behind")
    expect(page.locator("#list")).not_to_contain_text("long-parcel-1")
    # and going on shows the newest parcels, and follows them
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#list tr").nth(1)).to_contain_text("long-parcel-1")
    expect(page.locator("#list tbody")).to_have_count(1)
    expect(page.locator("#list tr").nth(1)).to_be_in_viewport()
    expect(page.locator("#status")).to_contain_text("Live")
    report(site, registered("A2", locker="long-list-1"), reserved("long-parcel-2", "A2", locker="long-list-1"))
    expect(page.locator("#list tr").nth(1)).to_contain_text("long-parcel-2")


def test_a_filter_ends_the_pause_of_a_list_with_further_rows(site: Site, watched: Watched) -> None:
    page = watched.page
    open_live(page, f"{site.url}/console/reservations?order=desc&limit=60")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#status")).to_contain_text("Paused")
    page.get_by_label("Locker", exact=True).fill("narrowed-1")
    expect(page.locator("#list")).to_contain_text("No parcel matches")
    expect(page.locator("#status")).to_contain_text("Live")
    report(site, registered("A1", locker="narrowed-1"), reserved("narrowed-parcel", "A1", locker="narrowed-1"))
    expect(page.locator("#list")).to_contain_text("narrowed-parcel")
