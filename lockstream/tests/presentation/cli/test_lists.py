"""`lockstream lockers`, `reservations` and `faults`: the same items as the lists over HTTP."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from lockstream.core.ports import Listings, ReadResult
from lockstream.core.use_cases import sorted_lockers
from lockstream.infrastructure.rows import listings
from lockstream.infrastructure.sqlite.listings import SqliteListings
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.presentation.cli import list_commands
from lockstream.tests.support.builders import fault_cleared, fault_reported, registered, reserved
from lockstream.tests.support.commands import RunCommand, items
from lockstream.tests.support.histories import CAPACITY, history, record
from lockstream.tests.support.silent_network import GONE, NEW, OTHERS, SILENT, record_silent_network

LOCKERS = [f"locker-{number}" for number in range(1, 6)]


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of five lockers, each with the same history, and of one without events of parcels and faults."""
    for locker in LOCKERS:
        record(log_path, history(locker))
    record(log_path, [registered(locker="=cmd")])
    return log_path


def test_lockers_are_listed_with_their_counts(log: Path, run_command: RunCommand) -> None:
    found = items(run_command, "lockers")
    assert [one["locker_id"] for one in found] == ["=cmd", *LOCKERS]
    assert [one["locker_id"] for one in items(run_command, "lockers", "--prefix", "locker-")] == LOCKERS
    assert [one["locker_id"] for one in items(run_command, "lockers", "--degraded")] == LOCKERS
    assert [one["locker_id"] for one in items(run_command, "lockers", "--no-degraded", "--limit", "1")] == ["=cmd"]
    assert items(run_command, "lockers", "--no-available", "--prefix", "=") == []


def test_lockers_are_sorted(log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    by_last_event = [*LOCKERS, "=cmd"]
    for page_rows in list_commands.PAGE_ROWS, 2:
        monkeypatch.setattr(list_commands, "PAGE_ROWS", page_rows)
        for options, expected in (
            (["--highest-first"], sorted(by_last_event, reverse=True)),
            (["--sort", "last_event"], by_last_event),
            (["--sort", "last_event", "--highest-first"], by_last_event[::-1]),
            (["--sort", "degraded"], ["=cmd", *LOCKERS]),
            (["--sort", "degraded", "--highest-first", "--prefix", "locker-"], LOCKERS[::-1]),
            (["--sort", "available"], by_last_event),
        ):
            assert [one["locker_id"] for one in items(run_command, "lockers", *options)] == expected


def test_too_many_lockers_to_be_sorted_name_the_next_step(
    log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sorted_lockers, listings):
        monkeypatch.setattr(module, "MAX_SORTED", 5)
    result = run_command("lockers", "--sort", "available")
    assert (result.exit_code, result.output) == (1, b"")
    assert "More than 5 lockers pass the filters, too many to sort by available. Narrow the filters" in result.errors


def test_silent_lockers_are_listed(log_path: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    record_silent_network(log_path, monkeypatch)
    silent = items(run_command, "lockers", "--silent")
    assert [one["locker_id"] for one in silent] == SILENT
    assert all(one["silent"] and not one["gone"] and one["usual_silence_seconds"] > 0 for one in silent)
    assert [one["locker_id"] for one in items(run_command, "lockers", "--gone")] == [GONE]
    assert [one["locker_id"] for one in items(run_command, "lockers", "--no-silent", "--no-gone")] == [NEW, *OTHERS]
    assert items(run_command, "lockers", "--silent", LOCKSTREAM_SILENT_MINUTES="2000") == []


def test_the_position_of_a_list_is_named_beside_it(log: Path, run_command: RunCommand) -> None:
    events = len(log.read_bytes().splitlines())
    assert f"As of position {events}." in run_command("lockers").errors


def test_all_pages_are_listed(log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [items(run_command, *command) for command in (["lockers"], ["reservations"], ["faults"])]
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 2)
    assert [items(run_command, *command) for command in (["lockers"], ["reservations"], ["faults"])] == whole
    assert items(run_command, "reservations", "--limit", "3") == whole[1][:3]


def test_reservations_are_listed_by_status_locker_and_time(log: Path, run_command: RunCommand) -> None:
    found = items(run_command, "reservations")
    assert [one["changed_position"] for one in found] == sorted(one["changed_position"] for one in found)
    newest = items(run_command, "reservations", "--newest-first", "--locker", "locker-2")
    assert newest == [one for one in reversed(found) if one["locker_id"] == "locker-2"]
    picked_up = items(run_command, "reservations", "--status", "PICKED_UP")
    assert picked_up == [one for one in found if one["status"] == "PICKED_UP"]
    times = sorted({one["changed_at"] for one in found})
    middle = times[len(times) // 2]
    assert items(run_command, "reservations", "--changed-before", middle) == [
        one for one in found if one["changed_at"] < middle
    ]
    assert items(run_command, "reservations", "--changed-after", middle) == [
        one for one in found if one["changed_at"] > middle
    ]


def test_reservations_are_listed_by_id(log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a locker whose reservations are the last ones, but not by their ids, and pages of two reservations
    record(log, history("a-locker"))
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 2)
    found = items(run_command, "reservations")
    # when they are listed by id, then all of them are there, in the order of their ids
    by_id = sorted(found, key=itemgetter("reservation_id"))
    assert by_id != found
    assert items(run_command, "reservations", "--sort", "id") == by_id
    assert items(run_command, "reservations", "--sort", "id", "--newest-first") == by_id[::-1]
    filters = "--status", "PICKED_UP", "--locker", "locker-2"
    assert items(run_command, "reservations", "--sort", "id", *filters) == [
        one for one in by_id if (one["status"], one["locker_id"]) == ("PICKED_UP", "locker-2")
    ]
    assert items(run_command, "reservations", "--sort", "changed") == found


@pytest.mark.parametrize("option", ["--changed-before", "--changed-after"])
def test_reservations_by_id_are_not_selected_by_time(log: Path, run_command: RunCommand, option: str) -> None:
    result = run_command("reservations", "--sort", "id", option, "2026-11-23T08:00:00Z")
    assert result.exit_code == 2
    assert "Use --sort changed, or omit the times." in " ".join(result.errors.replace("│", "").split())


def test_an_unknown_order_lists_the_valid_ones(log: Path, run_command: RunCommand) -> None:
    result = run_command("reservations", "--sort", "status")
    assert result.exit_code == 2
    assert "changed" in result.errors
    assert "id" in result.errors


def test_faults_are_listed_by_state_and_severity(log: Path, run_command: RunCommand) -> None:
    severe = fault_reported(9, locker="=cmd")
    record(log, [severe, fault_reported(1, locker="=cmd"), fault_cleared(severe, locker="=cmd")])
    found = items(run_command, "faults")
    assert items(run_command, "faults", "--open") == [one for one in found if one["open"]]
    assert [one["fault_id"] for one in items(run_command, "faults", "--cleared", "--min-severity", "9")] == [
        severe["event_id"]
    ]
    assert len(items(run_command, "faults", "--locker", "=cmd")) == 2
    elsewhere = fault_reported(5, "another", locker="=cmd")
    record(log, [registered("another", locker="=cmd"), elsewhere])
    [found_there] = items(run_command, "faults", "--locker", "=cmd", "--compartment", "another")
    assert found_there["fault_id"] == elsewhere["event_id"]
    alone = run_command("faults", "--compartment", "another")
    assert alone.exit_code == 2
    assert "It needs --locker" in alone.errors


def test_faults_are_listed_as_by_the_api_the_newest_first(log: Path, run_command: RunCommand) -> None:
    reported = [fault_reported(severity, locker="=cmd") for severity in (1, 2, 3)]
    record(log, reported)
    newest = [one["event_id"] for one in reported[::-1]]
    for order, expected in ((), newest), (("--newest-first",), newest), (("--oldest-first",), newest[::-1]):
        assert [one["fault_id"] for one in items(run_command, "faults", "--locker", "=cmd", *order)] == expected


def test_a_table_has_a_line_for_each_item(log: Path, run_command: RunCommand) -> None:
    header, *lines = run_command("lockers").output.decode().splitlines()
    assert header.split() == list(items(run_command, "lockers")[0])
    assert [line.split()[0] for line in lines] == ["=cmd", *LOCKERS]


def test_a_table_aligns_numbers_to_the_right(log_path: Path, run_command: RunCommand) -> None:
    # given two lockers with ids of different lengths, and a position of two digits
    record(log_path, [registered(f"c{number}", locker="l1") for number in range(10)])
    record(log_path, [registered(locker="locker-2")])
    times = {one["locker_id"]: one["last_event_at"] for one in items(run_command, "lockers")}
    # when they are listed as a table
    found = run_command("lockers").output.decode().splitlines()
    # then texts are aligned to the left and numbers to the right
    time = "last_event_at".ljust(len(times["l1"]))
    assert found == [
        f"locker_id  compartments  available  reserved  occupied  degraded  events  {time}  last_position  silent  gone"
        "   usual_silence_seconds",
        f"l1                   10         10         0         0         0      10  {times['l1']}             10"
        "  False   False",
        f"locker-2              1          1         0         0         0       1  {times['locker-2']}             11"
        "  False   False",
    ]


def test_a_table_says_if_it_lacks_rows(log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "More rows follow. Use --limit N, or --format csv."
    for rows, has_more in (5, True), (6, False):
        monkeypatch.setattr(list_commands, "TABLE_ROWS", rows)
        result = run_command("lockers")
        assert len(result.output.splitlines()) == 1 + rows
        assert (more in result.errors) == has_more
    monkeypatch.setattr(list_commands, "TABLE_ROWS", 2)
    for arguments, lines in (["--limit", "4"], 5), (["--format", "csv"], 7), (["--format", "json"], 6):
        result = run_command("lockers", *arguments)
        assert len(result.output.splitlines()) == lines
        assert more not in result.errors
        assert ("Use a higher --limit, or" in result.errors) == (arguments[0] == "--limit")


def test_a_query_that_is_repeated_prints_its_rows_once(
    log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a query that is repeated, as after a lost connection, and output that needs a file
    expected = run_command("lockers", "--format", "csv").output
    execute = SqliteListings.list

    def execute_twice(listings: SqliteListings, query: Callable[[Listings], Any]) -> ReadResult[Any]:
        execute(listings, query)
        return execute(listings, query)

    monkeypatch.setattr(SqliteListings, "list", execute_twice)
    monkeypatch.setattr(list_commands, "SPOOL_MEMORY_BYTES", 1)
    # then each row is printed once
    assert run_command("lockers", "--format", "csv").output == expected


def test_csv_quotes_what_a_spreadsheet_would_run(log: Path, run_command: RunCommand) -> None:
    assert run_command("lockers", "--format", "csv").output.splitlines()[1].startswith(b"'=cmd,")


def test_a_list_shows_the_projection_while_a_server_has_the_log_open(log: Path, run_command: RunCommand) -> None:
    store = EmbeddedStore(log, CAPACITY)
    try:
        assert len(items(run_command, "lockers")) == 6
    finally:
        store.close()


def test_a_time_without_an_offset_is_a_usage_error(log: Path, run_command: RunCommand) -> None:
    result = run_command("reservations", "--changed-before", "2026-11-23T08:00:00")
    assert result.exit_code == 2
    assert "--changed-before" in result.errors
    assert "offset" in result.errors


@pytest.mark.parametrize(
    "arguments", [("lockers", "--prefix"), ("reservations", "--locker"), ("faults", "--locker")], ids=" ".join
)
@pytest.mark.parametrize("text", ["", "a/b", "a\n", "x" * 129, "\udcff"], ids=ascii)
def test_an_id_that_is_not_an_identifier_is_a_usage_error(
    log: Path, run_command: RunCommand, arguments: tuple[str, str], text: str
) -> None:
    result = run_command(*arguments, text)
    assert result.exit_code == 2
    assert arguments[1] in result.errors
    assert "is not an identifier" in result.errors


def test_a_missing_projection_names_the_next_step(log_path: Path, run_command: RunCommand) -> None:
    log_path.touch()
    result = run_command("faults")
    assert result.exit_code == 1
    assert f"{projection_path(log_path)} does not exist. Start Lockstream once" in result.errors
    assert not projection_path(log_path).exists()


def test_a_projection_of_another_version_names_the_next_step(log: Path, run_command: RunCommand) -> None:
    with closing(sqlite3.connect(projection_path(log))) as database, database:
        database.execute("UPDATE progress SET schema = 'older'")
    result = run_command("lockers")
    assert result.exit_code == 1
    assert "another version" in result.errors
    assert "lockstream rebuild" in result.errors


def test_an_unknown_status_lists_the_valid_ones(log: Path, run_command: RunCommand) -> None:
    result = run_command("reservations", "--status", "LOST")
    assert result.exit_code == 2
    assert "PICKED_UP" in result.errors


def test_a_new_reservation_is_the_last_one(log: Path, run_command: RunCommand) -> None:
    before = [one["reservation_id"] for one in items(run_command, "reservations", "--status", "CREATED")]
    record(log, [reserved("late", locker="=cmd")])
    after = [one["reservation_id"] for one in items(run_command, "reservations", "--status", "CREATED")]
    assert after == [*before, "late"]
