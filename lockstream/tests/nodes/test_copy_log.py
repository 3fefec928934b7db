"""A log moved from one engine to the other and back is the same log, to the byte."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.ports import Store
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_event
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import deposited, event, fault_reported, registered, reserved
from lockstream.tests.support.databases import connect, new_database
from lockstream.tests.support.processes import command

MANY = 1_500


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of some events, with what may be lost on the way: escapes, large numbers, members in an odd order."""
    odd = b'{"z":1,"compartment_id":"c","a":[1.50,1e400,"\\u0000 \\u00e9"],"a":-0}'
    with closing(EmbeddedStore(log_path, 100)) as store:
        take_in(store, MANY)
        named = f'"event_id":"{"0" * 8}-0000-4000-8000-{"0" * 12}","occurred_at":"2026-11-23T08:15:00.5+05:45"'
        text = '{%s,"locker_id":"Schlie\\u00dffach \\"1\\"","type":"CompartmentRegistered","payload":%s}'
        ingest([decode_event((text % (named, odd.decode())).encode())], store.unit_of_work())
        store.checkpoint()
    return log_path


def take_in(store: Store, count: int) -> None:
    bodies = [registered(), fault_reported(2), reserved(), deposited()]
    bodies += [registered(f"c{number}", locker=f"locker {number % 7}") for number in range(count)]
    ingest([event(body) for body in bodies], store.unit_of_work())


def hashes(store: Store) -> Iterator[tuple[str, str]]:
    return ((locker.locker_id, state_hash(locker)) for locker in store.queries.lockers())


@pytest.fixture
def url() -> Iterator[str]:
    with new_database(template=False) as url:
        yield url


def run(log: Path, *arguments: str, database: str | None = None) -> bytes:
    done = command(log, *arguments) if database is None else command(log, *arguments, DATABASE_URL=database)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_both_ways_it_stays_the_same(log: Path, url: str, tmp_path: Path) -> None:
    exported = tmp_path / "exported.jsonl"
    exported.write_bytes(run(log, "export", "--full"))
    assert exported.read_bytes() == log.read_bytes()

    run(log, "import", "--full", str(exported), database=url)
    run(log, "verify", database=url)

    assert run(log, "export", "--full", database=url) == log.read_bytes()
    home = tmp_path / "home.jsonl"
    run(home, "import", "--full", str(exported))
    run(home, "verify")
    assert home.read_bytes() == log.read_bytes()
    with closing(EmbeddedStore(log, 100)) as one, closing(PostgresStore(url)) as other:
        assert list(hashes(one)) == list(hashes(other))
        assert one.log.end == other.log.end
        take_in(other, 1)


@pytest.mark.parametrize("cut", [0, 999, 1000, 1001, MANY])
def test_one_that_broke_off_can_be_started_again(log: Path, url: str, tmp_path: Path, cut: int) -> None:
    whole = log.read_bytes()
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join(whole.splitlines(keepends=True)[:cut]))
    run(log, "import", "--full", str(part), database=url)

    run(log, "import", "--full", str(log), database=url)
    run(log, "import", "--full", str(log), database=url)

    assert run(log, "export", "--full", database=url) == whole


def test_a_line_that_is_not_what_was_written_is_named(log: Path, url: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(log.read_bytes().replace(b'"c700"', b'"c7x0"'))
    refused = command(log, "import", "--full", str(damaged), DATABASE_URL=url)
    assert refused.returncode == 1
    assert b"damaged.jsonl is damaged at line 705" in refused.stderr
    assert b"Make it anew with `lockstream export --full`" in refused.stderr
    assert b"repair" not in refused.stderr


def test_a_log_that_holds_something_else_takes_over_nothing(log: Path, url: str, tmp_path: Path) -> None:
    with closing(PostgresStore(url)) as store:
        take_in(store, 1)
    refused = command(log, "import", "--full", str(log), DATABASE_URL=url)
    assert refused.returncode == 1
    assert b"The log holds other events than" in refused.stderr
    with closing(connect(url)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(5,)]


def test_a_shorter_one_is_no_beginning(log: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.jsonl"
    short.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:10]))
    refused = command(log, "import", "--full", str(short))
    assert refused.returncode == 1
    assert b"and %b only 10." % str(short).encode() in refused.stderr


def test_an_export_that_ends_in_the_middle_of_a_line_is_not_taken_for_whole(log: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    torn.write_bytes(b"".join(lines[:10]) + lines[10][:-1])
    refused = command(tmp_path / "home.jsonl", "import", "--full", str(torn))
    assert refused.returncode == 1
    assert b"torn.jsonl is damaged at line 11" in refused.stderr
