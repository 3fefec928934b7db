"""Lists of faults from a severity on: merged from few severities, and filtered if there are many."""

import sqlite3
from contextlib import closing
from itertools import product
from operator import methodcaller
from typing import Any

import pytest

from lockstream.core.entities.listings import FaultQuery
from lockstream.core.entities.state import Fault
from lockstream.core.ports import Store
from lockstream.infrastructure.rows import listings as rows_listings
from lockstream.infrastructure.rows.listings import MERGED_SEVERITIES, SqlListings
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.infrastructure.stores.listing_queries import ALL, ANY
from lockstream.tests.infrastructure.stores.network import EmbeddedNetwork, Network, lists_of
from lockstream.tests.support.builders import Body, fault_cleared, fault_reported, registered

SEVERITIES = [1, 5, 3, 4, 5, 1, 7, 4, 2**31 - 1, 1, 0, 5]
"""Severities of faults, in the order of their reports. The only one of severity 7 is cleared in its batch."""


def report(network: Network[Any], severities: list[int]) -> None:
    """Report each fault in a batch of its own, and clear every third one: in the same batch, or in the next one."""
    network.ingest(registered())
    for number, severity in enumerate(severities):
        reported: list[Body] = [fault_reported(severity)]
        network.ingest(*reported, *([fault_cleared(reported[0])] if number % 6 == 0 else []))
        if number % 6 == 3:
            network.ingest(fault_cleared(reported[0]))


@pytest.mark.parametrize("merged", [0, 2, MERGED_SEVERITIES])
def test_faults_from_a_severity_on_are_those_of_the_whole_list(
    network: Network[Store], monkeypatch: pytest.MonkeyPatch, merged: int
) -> None:
    # given faults of seven severities, of which a list merges two, or more, or none
    monkeypatch.setattr(rows_listings, "MERGED_SEVERITIES", merged)
    report(network, SEVERITIES)
    for is_open, descending, lowest in product(ANY, (False, True), (1, 2, 4, 5, 6, 8)):
        # when they are listed from a severity on, in pages of two
        query = FaultQuery(is_open, lowest, descending=descending)
        found: list[Fault] = []
        while page := faults_of(network, query, found[-1].reported_position if found else None, 2):
            found += page
        # then these are the severe ones of all faults, in the same order
        whole = faults_of(network, FaultQuery(is_open, descending=descending), None, ALL)
        assert found == [row for row in whole if row.severity >= lowest]


def test_slight_faults_make_a_page_of_severe_ones_no_dearer(embedded: EmbeddedNetwork) -> None:
    # given a few severe faults, and then many slight ones after them
    query, newest = FaultQuery(min_severity=4), FaultQuery(min_severity=4, descending=True)
    embedded.ingest(registered(), *(fault_reported(4 + number % 2) for number in range(20)))
    before = [instructions_of(embedded, one) for one in (query, newest)]
    embedded.ingest(*(fault_reported(number % 4) for number in range(2_000)))
    embedded.ingest(*(fault_reported(5) for _ in range(2)))

    # then a page takes the same steps
    after = [instructions_of(embedded, one) for one in (query, newest)]
    assert max(after) <= 1.1 * max(before)


def faults_of(network: Network[Any], query: FaultQuery, after: int | None, limit: int) -> list[Fault]:
    return list(lists_of(network, methodcaller("faults", query, after, limit)))


def instructions_of(embedded: EmbeddedNetwork, query: FaultQuery) -> int:
    """Return the number of instructions of SQLite's virtual machine that a page of faults takes."""
    instructions = 0

    def count() -> int:
        nonlocal instructions
        instructions += 1
        return 0

    statements = embedded.store._listings._statements
    with closing(sqlite3.connect(projection_path(embedded.path))) as connection:
        connection.set_progress_handler(count, 1)
        listings = SqlListings(
            statements,
            lambda statement, values: connection.execute(statement.text, statement.bind(values)),
            0,
            lambda positions: [],
            lambda prefix, limit: [],
        )
        assert len(listings.faults(query, None, 5)) == 5
    return instructions
