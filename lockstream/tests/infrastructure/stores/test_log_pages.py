"""`LogPages` of every store: the durable lines of its log, and the id of the log."""

import random
from typing import Any

import pytest

from lockstream.core.entities.feed import EMPTY_LOG_ID
from lockstream.core.errors import StoreUnavailable
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.log_line import encode_record
from lockstream.tests.infrastructure.stores.network import EmbeddedNetwork, Network, PostgresNetwork
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.databases import connect

COUNT = 1_200


def lines_of(network: Network[Any]) -> list[bytes]:
    from lockstream.core.entities.log import START

    return [encode_record(record) for record in network.store.log.read(START)]


def all_lines(network: Network[Any], after: int, count: int) -> list[bytes]:
    """Return all lines of a network's log after a position, read page by page."""
    found: list[bytes] = []
    while (page := network.store.log_pages.page(after + len(found), count)).lines:
        assert len(page.lines) <= count
        found += page.lines
    return found


def test_an_empty_log_has_no_lines_and_the_id_of_every_empty_log(network: Network[Any]) -> None:
    assert network.store.log_pages.page(0, 10) == ([], 0, EMPTY_LOG_ID)
    assert network.store.log_pages.page(7, 10) == ([], 0, EMPTY_LOG_ID)


def test_each_store_gives_the_lines_of_its_log(network: Network[Any]) -> None:
    # given more events than a page has
    network.ingest(*(registered(str(number)) for number in range(COUNT)))
    lines = lines_of(network)
    # when pages of any size are read from any position, then they are the lines of the log
    chance = random.Random(1)
    for _ in range(10):
        after = chance.randrange(COUNT)
        assert all_lines(network, after, chance.choice([7, 400, 5_000])) == lines[after:]
    assert network.store.log_pages.page(COUNT, 10).lines == network.store.log_pages.page(COUNT + 5, 10).lines == []
    assert network.store.log_pages.page(3, 0).lines == []
    # and each page names the head
    assert {network.store.log_pages.page(after, 5).head for after in (0, 500, COUNT, COUNT + 9)} == {COUNT}


def test_a_log_keeps_its_id_when_it_grows_and_over_restarts(network: Network[Any]) -> None:
    network.ingest(registered("1"))
    log_id = network.store.log_pages.page(0, 1).log_id
    assert len(log_id) == 32
    assert log_id != EMPTY_LOG_ID
    network.ingest(registered("2"))
    for restart in network.restarts:
        getattr(network, restart)()
        assert network.store.log_pages.page(0, 1).log_id == network.store.log_pages.page(2, 1).log_id == log_id


def test_two_logs_have_different_ids(memory: Network[Any], embedded: Network[Any]) -> None:
    memory.ingest(registered())
    embedded.ingest(registered())
    assert memory.store.log_pages.page(0, 1).log_id != embedded.store.log_pages.page(0, 1).log_id


@pytest.mark.parametrize("kind", ["memory", "embedded"])
def test_lines_that_are_not_durable_are_not_shown(kind: str, request: pytest.FixtureRequest) -> None:
    network = request.getfixturevalue(kind)
    network.ingest(registered("1"))
    ingest([event(registered("2"))], network.store.unit_of_work())
    assert network.store.log_pages.page(0, 10).lines == lines_of(network)[:1]
    assert network.store.log_pages.page(0, 10).head == 1
    network.store.log.flush()
    assert len(network.store.log_pages.page(0, 10).lines) == network.store.log_pages.page(0, 10).head == 2


def test_an_altered_line_of_the_file_is_unavailable_and_those_before_it_are_shown(embedded: EmbeddedNetwork) -> None:
    embedded.ingest(*(registered(str(number)) for number in range(5)))
    lines = lines_of(embedded)
    content = embedded.path.read_bytes()
    embedded.path.write_bytes(content.replace(b'"compartment_id":"3"', b'"compartment_id":"x"'))
    assert embedded.store.log_pages.page(0, 10).lines == lines[:3]
    with pytest.raises(StoreUnavailable, match="was altered or has lost lines"):
        embedded.store.log_pages.page(3, 10)


def test_an_altered_row_of_the_database_is_unavailable_and_those_before_it_are_shown(
    postgres: PostgresNetwork, database: str
) -> None:
    postgres.ingest(*(registered(str(number)) for number in range(5)))
    lines = lines_of(postgres)
    with connect(database) as connection:
        connection.execute("UPDATE events SET locker_id = 'other' WHERE position = 4")
    assert postgres.store.log_pages.page(0, 10).lines == lines[:3]
    with pytest.raises(StoreUnavailable, match="is damaged at position 4"):
        postgres.store.log_pages.page(3, 10)
