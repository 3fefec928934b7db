"""Commands on a log that is in a database."""

import json
from pathlib import Path

import pytest

from bench.postgres import free_port
from lockstream.tests.support.builders import registered, reserved
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.databases import execute, ingest_into
from lockstream.tests.support.processes import command


@pytest.mark.parametrize("arguments", [["backup", "copy"], ["repair"]])
def test_commands_for_log_files_say_what_to_do_with_a_database(
    arguments: list[str], database_url: str, run_command: RunCommand
) -> None:
    result = run_command(*arguments, DATABASE_URL=database_url)
    assert result.exit_code == 1
    assert "The log is in a database, as DATABASE_URL says." in result.errors


LISTS = "lockers", "reservations", "faults"


@pytest.mark.parametrize("name", ["verify", "export", *LISTS])
def test_commands_report_a_database_without_tables(name: str, empty_database_url: str, run_command: RunCommand) -> None:
    result = run_command(name, DATABASE_URL=empty_database_url)
    assert result.exit_code == 1
    assert "Lockstream's tables are not in the database" in result.errors


@pytest.mark.parametrize("change", ["UPDATE progress SET schema = 'another'", "DELETE FROM progress"])
@pytest.mark.parametrize("name", LISTS)
def test_lists_are_refused_if_the_projection_is_missing_or_of_another_version(
    name: str, change: str, database_url: str, run_command: RunCommand
) -> None:
    ingest_into(database_url, registered())
    assert run_command(name, DATABASE_URL=database_url).exit_code == 0
    execute(database_url, change)
    result = run_command(name, DATABASE_URL=database_url)
    result.assert_is_error("is missing or belongs to another version of Lockstream")
    assert not result.output


@pytest.mark.parametrize("name", LISTS)
def test_lists_name_a_database_that_cannot_be_reached(name: str, run_command: RunCommand) -> None:
    result = run_command(name, DATABASE_URL=f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/parcels")
    result.assert_is_error("The database parcels at 127.0.0.1 cannot be used now")
    assert not result.output


def test_verify_exits_with_an_error_if_the_projection_differs_from_the_log(
    database_url: str, run_command: RunCommand
) -> None:
    ingest_into(database_url, registered())
    assert run_command("verify", DATABASE_URL=database_url).exit_code == 0
    execute(database_url, "UPDATE compartments SET degrading_faults = 7")
    result = run_command("verify", DATABASE_URL=database_url)
    assert result.exit_code == 1
    assert "The projection differs from the log in 2 places: Compartment" in result.errors


def test_verify_names_damage_of_the_log_also_if_the_keys_cannot_be_read(
    database_url: str, run_command: RunCommand
) -> None:
    # given
    ingest_into(database_url, registered())
    execute(database_url, "UPDATE compartments SET degrading_faults = 7")
    execute(database_url, "DROP TABLE access_keys")
    # when
    result = run_command("verify", DATABASE_URL=database_url)
    # then
    assert result.exit_code == 1
    assert "The projection differs from the log in 2 places: Compartment" in result.errors
    assert "access_keys" in result.errors


def test_serve_exits_with_an_error_if_another_program_uses_the_names_of_the_tables(
    empty_database_url: str, tmp_path: Path
) -> None:
    execute(empty_database_url, "CREATE TABLE reservations AS SELECT 'a table in a restaurant' AS note")
    started = command(tmp_path / "no-log", "serve", DATABASE_URL=empty_database_url)
    assert started.returncode == 1
    assert b"whose names Lockstream needs: reservations." in started.stderr
    assert execute(empty_database_url, "SELECT count(*) FROM reservations") == [(1,)]


def test_a_history_of_a_log_in_a_database_is_listed(database_url: str, run_command: RunCommand) -> None:
    # given the events of two lockers in PostgreSQL
    bodies = [registered(locker="l1"), registered(locker="l2"), reserved("r1", locker="l2")]
    ingest_into(database_url, *bodies)
    for arguments, expected in (
        (["--locker", "l2"], bodies[1:]),
        (["--locker", "l2", "--compartment", "compartment-1", "--newest-first"], bodies[:0:-1]),
        (["--reservation", "r1"], bodies[2:]),
    ):
        result = run_command("history", *arguments, "--format", "json", DATABASE_URL=database_url)
        assert result.exit_code == 0, result.errors
        shown = [json.loads(line)["event_id"] for line in result.output.splitlines()]
        assert shown == [body["event_id"] for body in expected]
    result = run_command("history", "--locker", "l9", DATABASE_URL=database_url)
    assert (result.exit_code, "There is no locker 'l9'." in result.errors) == (1, True)
