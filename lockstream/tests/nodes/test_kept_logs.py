"""Logs of earlier formats, kept as files: they open, verify, export and are imported unchanged, on both engines.

`without_keys.jsonl` was written before events had keys. `with_keys.jsonl` has the same lines, and further ones of which
most have a key. Beside each is its export of events. Never write these files again: add another one for a new format.
"""

import json
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.infrastructure.stores.postgres import PostgresStore
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import CommandResult, RunCommand
from lockstream.tests.support.databases import execute, ingest_into
from lockstream.tests.support.histories import hashes, hashes_after_replay, hashes_after_start, record
from lockstream.tests.support.log_audit import audited

FOLDER = Path(__file__).parents[1] / "support" / "kept_logs"

HASHES = {
    "without_keys": {
        "Straße é 🔒": "0c5a3a31d13b634d912b5cb1876562da72f858c9727b135e677004bcbcb5a159",
        "station-7": "0bd2a2d36b782ea692fbd64c3c3a0825fb89440d3790429ca7eb951000b69837",
    },
    "with_keys": {
        "Straße é 🔒": "020424cfee9b36dc6d1df0489cef681b51e7c7b86a64b9465548c7cf1f171a3c",
        "station-7": "4aefcf1a4cd68ba8d51706c3acd6b4b9e9db6a0cd9cab8564072145a51cc9196",
    },
}
"""State hash of each locker, as computed by the version of Lockstream that wrote the log."""

CHAINS = {
    "without_keys": "b0636f4b42712b5f708b8a003c5795102d6ba3c9351325df034883bb511bb766",
    "with_keys": "7615e4dd1bef531d9b06fdb947f2dea71ab788bec84fda6a3f070378d04532e9",
}
"""The chain value of the last line."""

KEYS = [*[None] * 12, "k3y8char", None, "k3y8char", "0perat0r", "k3y8char", "k3y8char", "0perat0r", None]
"""The key of each event of `with_keys.jsonl`."""


@pytest.fixture(params=CHAINS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a kept log."""
    name: str = request.param
    return name


@pytest.fixture
def log(name: str, log_path: Path) -> Path:
    """A copy of a kept log, without a projection, as this test's log."""
    copyfile(FOLDER / f"{name}.jsonl", log_path)
    return log_path


@pytest.fixture
def content(log: Path) -> bytes:
    return log.read_bytes()


def succeeded(result: CommandResult) -> bytes:
    """Return the output of a command that has succeeded."""
    assert result.exit_code == 0, result.errors
    return result.output


def test_the_kept_logs_are_unchanged_and_cover_the_format() -> None:
    without, with_keys = (audited(FOLDER / f"{name}.jsonl") for name in CHAINS)
    assert {record["type"] for record in without} == set(EVENT_TYPES)
    assert [records[-1]["chain"] for records in (without, with_keys)] == list(CHAINS.values())
    assert with_keys[: len(without)] == without
    assert [record.get("recorded_by") for record in with_keys] == KEYS


def test_a_kept_log_opens_and_verifies_unchanged(name: str, log: Path, content: bytes, run_command: RunCommand) -> None:
    assert hashes_after_start(log) == hashes_after_replay(log) == HASHES[name]
    assert "events and 2 lockers verified" in succeeded(run_command("verify")).decode() + run_command("verify").errors
    projection_path(log).unlink()
    succeeded(run_command("rebuild"))
    assert hashes_after_start(log) == HASHES[name]
    assert log.read_bytes() == content


def test_exports_of_a_kept_log_are_equal_byte_for_byte(
    name: str, log: Path, content: bytes, run_command: RunCommand
) -> None:
    assert succeeded(run_command("export", "--full")) == content
    assert succeeded(run_command("export")) == (FOLDER / f"{name}.events.jsonl").read_bytes()


def test_a_backup_of_a_kept_log_is_equal_and_needs_no_repair(
    log: Path, content: bytes, tmp_path: Path, run_command: RunCommand
) -> None:
    succeeded(run_command("backup", str(tmp_path / "backup.jsonl")))
    assert (tmp_path / "backup.jsonl").read_bytes() == content
    assert "is whole" in run_command("repair").errors
    assert log.read_bytes() == content


def test_a_kept_log_goes_into_a_database_and_back_unchanged(
    name: str, log: Path, content: bytes, empty_database_url: str, tmp_path: Path, run_command: RunCommand
) -> None:
    # when it is imported into a database
    succeeded(run_command("import", "--full", str(log), DATABASE_URL=empty_database_url))
    succeeded(run_command("verify", DATABASE_URL=empty_database_url))

    # then the database shows the same state, and exports the same bytes
    with closing(PostgresStore(empty_database_url)) as store:
        assert hashes(store.reads) == HASHES[name]
    assert succeeded(run_command("export", "--full", DATABASE_URL=empty_database_url)) == content
    events = succeeded(run_command("export", DATABASE_URL=empty_database_url))
    assert events == (FOLDER / f"{name}.events.jsonl").read_bytes()

    # and a log file that is made of it is the same
    back = tmp_path / "back.jsonl"
    exported = tmp_path / "exported.jsonl"
    exported.write_bytes(content)
    succeeded(run_command("import", "--full", str(exported), EVENT_LOG_PATH=str(back)))
    assert back.read_bytes() == content

    # and the database goes on, also with a new projection
    ingest_into(empty_database_url, registered("another"))
    succeeded(run_command("rebuild", DATABASE_URL=empty_database_url))
    longer = succeeded(run_command("export", "--full", DATABASE_URL=empty_database_url))
    assert longer.startswith(content)
    assert len(longer.splitlines()) == len(content.splitlines()) + 1


def test_events_of_a_kept_log_are_reported_anew_without_their_keys(
    name: str, log: Path, content: bytes, tmp_path: Path, run_command: RunCommand
) -> None:
    source, target = tmp_path / "source.jsonl", tmp_path / "target.jsonl"
    source.write_bytes(content)
    succeeded(run_command("import", str(source), EVENT_LOG_PATH=str(target)))
    assert hashes_after_replay(target) == HASHES[name]
    assert [record.event.recorded_by for record in read_log(target)] == [""] * len(content.splitlines())
    events = succeeded(run_command("export", EVENT_LOG_PATH=str(target)))
    assert events == (FOLDER / f"{name}.events.jsonl").read_bytes()


def test_a_kept_log_goes_on_with_further_events(log: Path, content: bytes) -> None:
    record(log, [registered("another")])
    assert log.read_bytes().startswith(content)
    assert len(audited(log)) == len(content.splitlines()) + 1


def test_an_id_of_a_kept_log_is_never_used_again(log: Path, run_command: RunCommand, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    again.write_bytes(log.read_bytes())
    result = run_command("import", str(again))
    assert (result.exit_code, len(log.read_bytes())) == (0, len(again.read_bytes()))


def test_a_key_that_was_altered_in_a_database_is_found(
    log: Path, empty_database_url: str, run_command: RunCommand
) -> None:
    succeeded(run_command("import", "--full", str(log), DATABASE_URL=empty_database_url))
    execute(empty_database_url, "UPDATE events SET recorded_by = 'stranger' WHERE position = 5")
    result = run_command("verify", DATABASE_URL=empty_database_url)
    assert result.exit_code == 1
    assert "position 5" in result.errors
    with closing(PostgresStore(empty_database_url)) as store, pytest.raises(Exception, match="position 5 is damaged"):
        store.reads.records([5])


@pytest.mark.parametrize("name", ["with_keys"])
def test_a_key_that_was_removed_from_a_line_is_found(log: Path, run_command: RunCommand) -> None:
    log.write_bytes(log.read_bytes().replace(b'"recorded_by":"0perat0r",', b"", 1))
    result = run_command("verify")
    assert result.exit_code == 1
    assert "line 16" in result.errors


@pytest.mark.parametrize("name", ["with_keys"])
def test_a_history_shows_the_key_of_each_event(log: Path, content: bytes, run_command: RunCommand) -> None:
    succeeded(run_command("rebuild"))
    lines = succeeded(run_command("history", "--locker", "station-7", "--format", "json")).splitlines()
    assert lines == [line for line in content.splitlines() if json.loads(line)["locker_id"] == "station-7"]
    table = succeeded(run_command("history", "--locker", "station-7")).decode()
    assert "k3y8char" in table
