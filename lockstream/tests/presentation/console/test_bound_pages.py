"""Every page tells a bound caller the same, whatever other lockers there are, or none."""

import re
from collections.abc import Iterator
from itertools import product

import pytest

from lockstream.presentation.console.pages import PAGES
from lockstream.tests.presentation.http.access.bound_requests import IDS, paths
from lockstream.tests.presentation.http.access.networks import CALLER, Network, networks

__all__ = ["networks"]

WORDS = ("'other'", ">other<", "r-other", "own-10", "own-3", "r-own-1-1-1", "-8000-0001")
"""Parts of what only other lockers have."""

QUERIES = (
    "",
    "limit=1",
    "q=o",
    "q=own-1",
    "locker_id=other",
    "locker_id=own-1",
    "sort=id",
    "order=asc",
    "at=1",
    "group=locker",
)

ABOUT_THE_SERVER = {"/system"}
"""Pages that tell what is so for all callers: how long the log is, and how the server does."""

_HIDDEN = re.compile(
    r"<time [^>]*>[^<]*</time>|20[0-9-]{8}T[0-9:]{8}\.[0-9]{6}Z"  # when something was recorded
    r"|20[0-9-]{8} [0-9:]{5} UTC|position ?(<b>|</dt><dd>|&#34;:)?[0-9,]+|data-position=\"[0-9]+\"|[0-9a-f]{64}"
    r"|<option value=\"[0-9]+\"|(after|at|before|since|until|from|limit)=[^&\"' <]+|<summary>.*?</summary>"
    r"|[0-9,]+ of the log|recorded [^<]* later|clock is [^<]* ahead",
    re.IGNORECASE,
)
"""Positions, chain values and times, which belong to the whole log."""


def urls(template: str) -> Iterator[str]:
    """Yield the addresses of a page with all combinations of ids, or with queries if it is a list."""
    if "{" in template:
        known = set(re.findall(r"\{(\w+)\}", template)) <= set(IDS)
        yield from (f"/console{path}" for path in (paths(template) if known else ()))
    else:
        yield from (f"/console{template}?{query}" for query in QUERIES)


def shown(network: Network, url: str) -> tuple[int, str]:
    """Return status and text of a page without positions and times, which belong to the whole network."""
    response = network.client.get(url)
    assert response.status_code < 500, url
    return response.status_code, _HIDDEN.sub("#", response.text)


@pytest.fixture(autouse=True)
def unchecked(networks: list[Network]) -> None:
    """The contract has no pages."""
    for network in networks:
        network.client.event_hooks["response"].clear()


def test_every_page_is_the_same_with_and_without_other_lockers(networks: list[Network]) -> None:
    for page in PAGES:
        for url in urls(page.path):
            whole, otherwise, alone = (shown(network, url) for network in networks)
            if page.path not in ABOUT_THE_SERVER:
                assert whole == alone, url
                assert otherwise == alone, url
            if not any(word in url for word in WORDS):
                assert not any(word in whole[1].replace("locker_id=other", "") for word in WORDS), url


def test_the_scripts_of_a_page_read_the_callers_own_lockers_alone(networks: list[Network]) -> None:
    for path, caller in product(("/lockers", "/reservations", "/faults", "/events?after=0"), ("bound", "nothing")):
        response = networks[0].client.get(f"/console/api{path}", headers={CALLER: caller})
        assert response.status_code == 200
        assert not any(word in response.text for word in WORDS), path


def test_the_caller_has_something_to_see(networks: list[Network]) -> None:
    for caller, seen in (("bound", True), ("nothing", False)):
        assert ("own-1" in networks[0].client.get("/console/lockers", headers={CALLER: caller}).text) == seen
