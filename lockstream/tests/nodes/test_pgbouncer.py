"""Nodes that reach their database through a pool, PgBouncer in transaction mode: set as docs/scaling.md says."""

import asyncio
import os
import random
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.postgres.connection import BEGIN, COMMIT, Database, Session, Statement, limits
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.nodes.daemon import Daemon
from lockstream.tests.nodes.fleet import Clients, Heard, Reader, assert_legal, history, nodes
from lockstream.tests.nodes.machine import Machine
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.processes import command

PAGE = Path(__file__).parents[3] / "docs/scaling.md"
PREPARED = Statement("SELECT count(*) FROM pg_prepared_statements")

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed")


def bouncer(machine: Machine, pool_size: int) -> Daemon:
    """A pool in front of `machine`: what the page shows, at another place, where nobody needs a password."""
    [settings] = re.findall(r"```ini\n(\[databases\].*?)```", PAGE.read_text(), re.DOTALL)
    for pattern, instead in (
        (r"lockstream = host=\S+ port=5432 .*", f"postgres = host=127.0.0.1 port={machine.port} user=postgres"),
        (r"listen_addr = .*", "listen_addr = 127.0.0.1"),
        (r"listen_port = .*", "listen_port = PORT\nunix_socket_dir ="),
        (r"auth_type = .*\nauth_file = .*", "auth_type = any"),
        (r"default_pool_size = .*", f"default_pool_size = {pool_size}"),
        (r"query_wait_timeout = .*", "query_wait_timeout = 120"),  # a slow machine is no fault
    ):
        settings, changed = re.subn(pattern, instead, settings)
        assert changed == 1, pattern
    return Daemon(str(shutil.which("pgbouncer")), "HOME/settings", settings=settings)


def url_of(pool: Daemon) -> str:
    return f"postgresql+psycopg://postgres@127.0.0.1:{pool.port}/postgres"


@pytest.mark.parametrize("killed", [0, 3], ids=["a pool that stays", "a pool that is killed"])
def test_nodes_take_turns_through_a_pool_smaller_than_what_they_would_open(killed: int, tmp_path: Path) -> None:
    # given two nodes, which would open up to ten connections each, and a pool of three
    with Machine() as machine, bouncer(machine, 3) as pool, nodes(2, tmp_path, url_of(pool)) as servers:

        async def fight() -> Heard:
            clients = Clients(servers, random.Random())
            async with asyncio.TaskGroup() as group:
                group.create_task(clients.run())
                await clients.hear(200)
                for _ in range(killed):
                    pool.kill()
                    await asyncio.to_thread(pool.start)
                    await clients.hear(50)
                clients.stop()
            return clients.heard

        # when clients fight over a few lockers
        with Reader(machine.url) as reader:
            heard = asyncio.run(fight())
        # then all is as without it
        events = history(machine.url)
        assert_legal(events, heard)
        assert reader.seen == [event["event_id"] for event in events]
        assert killed or heard.unavailable <= len(heard.acknowledged) // 100
        for name in ("verify", "rebuild", "verify"):
            done = command(tmp_path / "no-log", name, DATABASE_URL=url_of(pool))
            assert done.returncode == 0, done.stderr.decode()


def test_nodes_that_share_sessions_of_the_database_leave_no_statement_behind_there(tmp_path: Path) -> None:
    # given a pool of one, so that two nodes take turns in the same session, and others look and read there
    with Machine() as machine:
        PostgresStore(machine.url).close()
        with bouncer(machine, 1) as pool:
            one, other = PostgresStore(url_of(pool)), PostgresStore(url_of(pool))
            with closing(one), closing(other):
                # when they send the same statements in another order
                assert other.queries.locker("locker-1") is None
                outcomes = [
                    ingest([event(registered(f"c{number}"))], store.unit_of_work())
                    for number in range(20)
                    for store in random.sample([one, other], 1)
                ]
                # then neither takes the other's for its own
                assert outcomes == [[Accepted(position)] for position in range(1, 21)]
            # and none of them was prepared: a name would be another node's there
            assert prepared(url_of(pool)) == 0
        # though it is where a connection has a session for itself
        assert prepared(machine.url) > 0


def prepared(url: str) -> int:
    """How many statements have been prepared in the session that this one is executed in."""
    session = Session(Database(url))
    with closing(session):
        found: list[list[tuple[int]]] = session.execute([BEGIN, limits(), PREPARED, COMMIT])
        return found[2][0][0]


def test_whoever_is_silent_keeps_nothing_of_the_pool() -> None:
    # given more connections than a pool has sessions, on a machine that is busy
    burning = "while True: pass"
    with Machine() as machine, bouncer(machine, 1) as pool, ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", burning], stdout=subprocess.DEVNULL))
            stack.callback(busy.kill)
        sessions = [stack.enter_context(closing(Session(Database(url_of(pool))))) for _ in range(3)]
        # when one after the other sends something, and then nothing: none waits for one that is silent
        for _ in range(1_000):
            for session in sessions:
                assert session.execute([BEGIN, Statement("SELECT 1"), COMMIT])[1] == [(1,)]


def test_a_rebuild_goes_on_beside_nodes_that_use_the_same_pool(tmp_path: Path) -> None:
    with Machine() as machine, bouncer(machine, 8) as pool, nodes(2, tmp_path, url_of(pool)) as servers:
        done = []

        async def fight() -> Heard:
            clients = Clients(servers, random.Random())
            async with asyncio.TaskGroup() as group:
                group.create_task(clients.run())
                for name in ("rebuild", "verify"):
                    await clients.hear(50)
                    done.append(await asyncio.to_thread(command, tmp_path / "no-log", name, DATABASE_URL=url_of(pool)))
                clients.stop()
            return clients.heard

        heard = asyncio.run(fight())
        assert [(one.returncode, one.stderr.decode()) for one in done if one.returncode] == []
        assert_legal(history(machine.url), heard)


def test_a_pool_in_statement_mode_is_refused(tmp_path: Path) -> None:
    """It would spread a turn over sessions."""
    with Machine() as machine, bouncer(machine, 3) as pool:
        PostgresStore(machine.url).close()  # that tables are missing could be heard of before
        settings = pool.home / "settings"
        settings.write_text(settings.read_text().replace("pool_mode = transaction", "pool_mode = statement"))
        pool.kill()
        pool.start()
        done = command(tmp_path / "no-log", "verify", DATABASE_URL=url_of(pool))
        assert done.returncode == 1
        assert b"cannot be used now" in done.stderr
