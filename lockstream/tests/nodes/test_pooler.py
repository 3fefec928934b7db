"""PgBouncer in transaction mode: each transaction may have another session, which others have used."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest

from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connecting import Database
from lockstream.infrastructure.postgres.rebuilding import rebuild
from lockstream.infrastructure.postgres.store import PostgresStore
from lockstream.tests.given import event, registered
from lockstream.tests.nodes.machine import Machine, free_port
from lockstream.tests.postgres import unwatched

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
NODES, ROUNDS = 3, 15

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[str]:
    """The URL of a database behind a PgBouncer with few sessions."""
    assert PROGRAM
    port = free_port()
    with Machine() as machine:
        settings = tmp_path / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={machine.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 6\n"
        )
        command = [PROGRAM, str(settings)]
        if os.geteuid() == 0:  # it will not run as root, and then could not read what is there
            command = ["sh", "-c", f'exec "$0" -u nobody /dev/fd/3 3< {settings}', PROGRAM]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
            try:
                while process.poll() is None:
                    with suppress(psycopg.OperationalError):
                        psycopg.connect(url.replace("+psycopg", "")).close()
                        break
                    time.sleep(0.05)
                yield url
            finally:
                process.terminate()


def test_nodes_that_share_sessions_take_nothing_for_something_else(pooled: str) -> None:
    with ExitStack() as open_:
        stores = [open_.enter_context(closing(PostgresStore(pooled, unwatched))) for _ in range(NODES)]
        database = open_.enter_context(closing(Database(pooled)))
        position = 0
        for number in range(ROUNDS):
            for store in stores:
                position += 1
                one = event(registered(f"c{position}"))
                assert ingest([one], store.unit_of_work()) == [Accepted(position)]
                assert ingest([one], stores[0].unit_of_work()) == [Duplicate(position)]
                assert store.queries.compartment("locker-1", f"c{position}")
            if number == ROUNDS // 2:
                assert rebuild(database, unwatched) == 0
