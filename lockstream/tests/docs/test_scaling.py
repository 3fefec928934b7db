"""docs/scaling.md: its commands run, and every setting and time limit that it names exists."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from bench.page import fill
from lockstream.infrastructure.postgres.connection import DEFAULT_LIMITS
from lockstream.presentation.cli.main import commands
from lockstream.settings import environment_names
from lockstream.tests.nodes.clients import Clients, post_while
from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.history import assert_legal, read_history
from lockstream.tests.support.postgres_server import PostgresServer
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/scaling.md"
TEXT = PAGE.read_text()
RUN = dict(re.findall(r"<!-- run: ([a-z ]+) -->\n```sh\n(.*?)```", TEXT, re.DOTALL))
LIMITS = [
    DEFAULT_LIMITS.connect_seconds,
    DEFAULT_LIMITS.silence_seconds,
    DEFAULT_LIMITS.write_lock_seconds,
    DEFAULT_LIMITS.statement_seconds,
    DEFAULT_LIMITS.idle_seconds,
    DEFAULT_LIMITS.answer_seconds,
    DEFAULT_LIMITS.resolve_seconds,
]


def test_a_dump_that_was_made_beside_nodes_is_restored_as_the_page_says(tmp_path: Path) -> None:
    # given a dump that is made while clients post
    with PostgresServer() as machine:
        machine.execute("CREATE DATABASE restored ENCODING 'UTF8' TEMPLATE template0")
        source = machine.url.replace("+psycopg", "")
        target = source.removesuffix("postgres") + "restored"

        def restore() -> None:
            script = f'lockstream() {{ {shlex.quote(sys.executable)} -m lockstream "$@"; }}\n{RUN["dump"]}'
            told = environment(tmp_path / "no-log", SOURCE=source, TARGET=target)
            told["PATH"] = f"{machine.programs}{os.pathsep}{told['PATH']}"
            subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=told, check=True, timeout=TIMEOUT_SECONDS)

        async def dump_and_restore(clients: Clients) -> None:
            await clients.wait_for(100)
            await asyncio.to_thread(restore)

        with cluster(2, tmp_path, source) as servers:
            # when it is restored
            clients = post_while(servers, dump_and_restore)
        # then it is the beginning of what there is, and whole
        kept = read_history(target)
        whole = read_history(source)
        assert len(kept) >= 100
        assert kept == whole[: len(kept)]
        assert_legal(whole, clients.responses)


def test_every_command_and_setting_that_the_page_names_exists() -> None:
    named = set(re.findall(r"(?:^|`|\| |URL=… |jsonl )lockstream ([a-z]+)", TEXT, re.MULTILINE))
    assert {"verify", "rebuild", "migrate", "export", "import", "backup"} <= named
    assert named <= set(get_group(commands).commands)
    settings = set(re.findall(r"\b(LOCKSTREAM_[A-Z_]+|DATABASE_URL|EVENT_LOG_PATH)\b", TEXT))
    assert settings - {"LOCKSTREAM_PASSWORD", "LOCKSTREAM_TEST_POSTGRES_URL"} <= set(environment_names().values())


def test_the_time_limits_are_those_of_the_code() -> None:
    table = TEXT.split("| time limit for |", 1)[1].split("\n\n", 1)[0]
    assert [int(seconds) for seconds in re.findall(r"\| (\d+) s \|$", table, re.MULTILINE)] == LIMITS


def test_the_page_has_a_place_for_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    fill(page, "nodes", "| a | table |")
    assert page.read_text().count("| a | table |") == 1


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_other_pages_lead_to_it(page: str) -> None:
    assert "scaling.md)" in (ROOT / page).read_text()
