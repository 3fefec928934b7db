"""The probe of a node: its reports about the database."""

from contextlib import closing

import pytest

from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.databases import execute
from lockstream.tests.support.processes import wait_until

CONNECTIONS = "FROM pg_stat_activity WHERE application_name = 'lockstream' AND datname = current_database()"


def test_a_database_that_was_restarted_between_two_probes_is_not_reported_as_away(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(PostgresStore(database_url)) as store:
        # given a node that writes on one connection and probes on another one
        wait_until(lambda: len(execute(database_url, f"SELECT pid {CONNECTIONS}")) == 2)

        # when the server closes both
        execute(database_url, f"SELECT pg_terminate_backend(pid, 5000) {CONNECTIONS}")

        # then the next probe opens a new connection, and finds nothing wrong
        wait_until(lambda: execute(database_url, f"SELECT pid {CONNECTIONS} AND state = 'idle'"))
        assert store.log.unavailable_reason is None
        assert "cannot be used" not in caplog.text
