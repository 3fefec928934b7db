"""Copies of a whole log from one engine to the other and back: they are identical, to the byte."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.events import CompartmentRegistered
from lockstream.core.ports import Store
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_recorded
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.services.commands.copy_log import BATCH_RECORDS
from lockstream.tests.support.builders import deposited, event, fault_reported, registered, reserved
from lockstream.tests.support.commands import CommandResult, RunCommand
from lockstream.tests.support.databases import execute

EVENTS = BATCH_RECORDS + BATCH_RECORDS // 2

ODD_EVENT = (
    rb'{"event_id":"00000000-0000-4000-8000-000000000000","occurred_at":"2026-11-23T08:15:00.5+05:45",'
    rb'"locker_id":"Schlie\u00dffach \"1\"","type":"CompartmentRegistered",'
    rb'"payload":{"z":1,"compartment_id":"c","a":[1.50,1e400,"\u0000 \u00e9"],"a":-0}}'
)
"""An event with escapes, large numbers, an unusual order, and a repeated member, which earlier versions accepted."""


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log file with some events, in more than one batch of a copy."""
    with closing(EmbeddedStore(log_path, 100)) as store:
        ingest_sample(store, EVENTS)
        [odd] = decode_recorded([ODD_EVENT])
        assert isinstance(odd, CompartmentRegistered)
        ingest([odd], store.unit_of_work())
        store.checkpoint()
    return log_path


def ingest_sample(store: Store, count: int) -> None:
    """Ingest `count` registrations, and four further events."""
    bodies = [registered(), fault_reported(2), reserved(), deposited()]
    bodies += [registered(f"c{number}", locker=f"locker {number % 7}") for number in range(count)]
    ingest([event(body) for body in bodies], store.unit_of_work())


def hashes(store: Store) -> Iterator[tuple[str, str]]:
    return ((locker.locker_id, state_hash(locker)) for locker in store.reads.lockers())


def first_lines(log: Path, count: int, name: str) -> Path:
    """Write the first lines of a log to a file beside it."""
    part = log.with_name(name)
    part.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:count]))
    return part


def succeeded(result: CommandResult) -> bytes:
    """Return the output of a command that has succeeded."""
    assert result.exit_code == 0, result.errors
    return result.output


def test_a_log_is_identical_after_a_copy_to_the_other_engine_and_back(
    log: Path, empty_database_url: str, tmp_path: Path, run_command: RunCommand
) -> None:
    # given a full export, which is identical to the log file
    exported, back = tmp_path / "exported.jsonl", tmp_path / "back.jsonl"
    exported.write_bytes(succeeded(run_command("export", "--full")))
    assert exported.read_bytes() == log.read_bytes()

    # when it is imported into a database
    succeeded(run_command("import", "--full", str(exported), DATABASE_URL=empty_database_url))

    # then an export of the database is identical, too
    succeeded(run_command("verify", DATABASE_URL=empty_database_url))
    assert succeeded(run_command("export", "--full", DATABASE_URL=empty_database_url)) == log.read_bytes()

    # and so is a log file into which it is imported
    succeeded(run_command("import", "--full", str(exported), EVENT_LOG_PATH=str(back)))
    succeeded(run_command("verify", EVENT_LOG_PATH=str(back)))
    assert back.read_bytes() == log.read_bytes()

    # and both engines show the same lockers, and accept further events
    with closing(EmbeddedStore(log, 100)) as embedded, closing(PostgresStore(empty_database_url)) as postgres:
        assert list(hashes(embedded)) == list(hashes(postgres))
        assert embedded.log.end == postgres.log.end
        ingest_sample(postgres, 1)


@pytest.mark.parametrize("count", [0, BATCH_RECORDS - 1, BATCH_RECORDS, BATCH_RECORDS + 1, EVENTS])
def test_an_interrupted_import_can_be_started_again(
    count: int, log: Path, empty_database_url: str, run_command: RunCommand
) -> None:
    part = first_lines(log, count, "part.jsonl")
    succeeded(run_command("import", "--full", str(part), DATABASE_URL=empty_database_url))

    succeeded(run_command("import", "--full", str(log), DATABASE_URL=empty_database_url))
    succeeded(run_command("import", "--full", str(log), DATABASE_URL=empty_database_url))

    assert succeeded(run_command("export", "--full", DATABASE_URL=empty_database_url)) == log.read_bytes()


def test_a_damaged_line_is_named(log: Path, empty_database_url: str, tmp_path: Path, run_command: RunCommand) -> None:
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(log.read_bytes().replace(b'"c700"', b'"c7x0"'))
    result = run_command("import", "--full", str(damaged), DATABASE_URL=empty_database_url)
    assert result.exit_code == 1
    assert "damaged.jsonl is damaged at line 705" in result.errors
    assert "Export again with `lockstream export --full`" in result.errors
    assert "repair" not in result.errors


def test_a_database_that_holds_another_log_imports_nothing(
    log: Path, database_url: str, run_command: RunCommand
) -> None:
    with closing(PostgresStore(database_url)) as store:
        ingest_sample(store, 1)
    result = run_command("import", "--full", str(log), DATABASE_URL=database_url)
    assert result.exit_code == 1
    assert f"The log and {log} hold different events at position 5 or before." in result.errors
    assert execute(database_url, "SELECT count(*) FROM events") == [(5,)]


def test_an_export_that_is_shorter_than_the_log_is_refused(log: Path, run_command: RunCommand) -> None:
    short = first_lines(log, 10, "short.jsonl")
    result = run_command("import", "--full", str(short))
    assert result.exit_code == 1
    assert f"and the full export {short} only 10. Make a newer full export of the same log" in result.errors


def test_an_export_whose_last_line_is_torn_is_refused(log: Path, tmp_path: Path, run_command: RunCommand) -> None:
    torn = first_lines(log, 11, "torn.jsonl")
    torn.write_bytes(torn.read_bytes()[:-1])
    result = run_command("import", "--full", str(torn), EVENT_LOG_PATH=str(tmp_path / "new.jsonl"))
    assert result.exit_code == 1
    assert "torn.jsonl is damaged at line 11" in result.errors
