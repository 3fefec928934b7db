"""`lockstream history`: the events of one subject, the same items as over HTTP."""

import csv
import json
import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.use_cases import history as use_case
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.presentation.cli import list_commands
from lockstream.tests.support.builders import registered
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import CAPACITY, history, record

SUBJECTS = {
    ("--locker", "l1"): [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    ("--locker", "l1", "--compartment", "c1"): [1, 3, 4, 5, 6, 8, 9, 10],
    ("--locker", "l1", "--compartment", "c2"): [2, 7],
    ("--reservation", "l1-parcel-1"): [3, 4, 5],
    ("--reservation", "l2-parcel-2"): [16, 18],
}
"""Positions of the events of some subjects, by the options that name them."""

each_subject = pytest.mark.parametrize(
    ("subject", "positions"), SUBJECTS.items(), ids=lambda value: " ".join(map(str, value))
)


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of two lockers with the same history."""
    for locker in "l1", "l2":
        record(log_path, history(locker))
    return log_path


def lines(run_command: RunCommand, *arguments: str) -> list[bytes]:
    """Return the lines that a command prints as JSON."""
    result = run_command("history", *arguments, "--format", "json")
    assert result.exit_code == 0, result.errors
    return result.output.splitlines()


@each_subject
def test_each_line_of_json_is_the_line_of_the_log(
    log: Path, run_command: RunCommand, subject: tuple[str, ...], positions: list[int]
) -> None:
    logged = log.read_bytes().splitlines()
    expected = [logged[position - 1] for position in positions]
    assert lines(run_command, *subject) == expected
    assert lines(run_command, *subject, "--newest-first") == expected[::-1]
    assert lines(run_command, *subject, "--limit", "2") == expected[:2]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_type_selects_its_events(log: Path, run_command: RunCommand, event_type: str) -> None:
    whole = lines(run_command, "--locker", "l1")
    found = lines(run_command, "--locker", "l1", "--type", event_type)
    assert found == [line for line in whole if json.loads(line)["type"] == event_type]


def test_all_pages_are_listed(log: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {subject: lines(run_command, *subject) for subject in SUBJECTS}
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 2)
    assert {subject: lines(run_command, *subject) for subject in SUBJECTS} == whole
    monkeypatch.setattr(list_commands, "PAGE_ROWS", 3)
    monkeypatch.setattr(use_case, "PAGE_BYTES", 50)
    assert {subject: lines(run_command, *subject) for subject in SUBJECTS} == whole


def test_csv_has_the_columns_of_the_json(log: Path, run_command: RunCommand) -> None:
    items: list[dict[str, Any]] = list(map(json.loads, lines(run_command, "--locker", "l1")))
    text = run_command("history", "--locker", "l1", "--format", "csv").output.decode()
    rows = list(csv.DictReader(StringIO(text, newline="")))
    found = [row | {"position": int(row["position"]), "payload": json.loads(row["payload"])} for row in rows]
    assert found == [item | {"recorded_by": ""} for item in items]


def test_a_table_leaves_out_the_chain_values(log: Path, run_command: RunCommand) -> None:
    [event] = map(json.loads, lines(run_command, "--locker", "l1", "--type", "FaultReported"))
    result = run_command("history", "--locker", "l1", "--type", "FaultReported")
    header, line = result.output.decode().splitlines()
    names = [name for name in event if name != "chain"]
    assert header.split() == [*names[:2], "recorded_by", *names[2:]]
    assert line.split() == ["7", *(event[name] for name in list(event)[1:6]), '{"compartment_id":"c2","severity":4}']
    assert "As of position 20." in result.errors


def test_a_table_shows_no_control_character_to_the_terminal(log_path: Path, run_command: RunCommand) -> None:
    # given a payload with control characters as they are, which JSON allows from U+007F on
    source = log_path.with_name("events.jsonl")
    source.write_text(json.dumps(registered("c1", note="\x9b31m\x7f"), ensure_ascii=False))
    assert run_command("import", str(source)).exit_code == 0
    assert "\x9b31m\x7f".encode() in lines(run_command, "--locker", "locker-1")[0]
    # when its event is listed as a table, then they are escaped
    assert '"note":"\\u009b31m\\u007f"' in run_command("history", "--locker", "locker-1").output.decode()


def test_a_history_is_listed_while_a_server_has_the_log_open(log: Path, run_command: RunCommand) -> None:
    store = EmbeddedStore(log, CAPACITY)
    try:
        assert len(lines(run_command, "--locker", "l2")) == 10
    finally:
        store.close()


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        (["--locker", "l9"], "There is no locker 'l9'. Its first CompartmentRegistered event creates it."),
        (["--locker", "l1", "--compartment", "c9"], "Locker 'l1' has no compartment 'c9'."),
        (["--reservation", "r9"], "There is no reservation 'r9'. Its ReservationCreated event creates it."),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_an_unknown_subject_is_an_error(
    log: Path, run_command: RunCommand, subject: list[str], sentence: str, form: str
) -> None:
    result = run_command("history", *subject, "--format", form)
    assert (result.exit_code, result.output) == (1, b"")
    assert sentence in result.errors


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--compartment", "c1"],
        ["--locker", "l1", "--reservation", "r1"],
        ["--reservation", "r1", "--compartment", "c1"],
        ["--locker", "l1", "--compartment", "c1", "--reservation", "r1"],
    ],
    ids=" ".join,
)
def test_a_history_has_one_subject(log: Path, run_command: RunCommand, arguments: list[str]) -> None:
    result = run_command("history", *arguments)
    assert result.exit_code == 2
    assert "A history has one subject." in result.errors


def test_a_wrong_option_names_what_is_valid(log: Path, run_command: RunCommand) -> None:
    result = run_command("history", "--locker", "l1", "--type", "parcelDeposited")
    assert result.exit_code == 2
    assert "'parcelDeposited' is not a type of events." in result.errors
    assert "FaultCleared" in result.errors
    for option in "--locker", "--reservation":
        result = run_command("history", option, "a/b")
        assert (result.exit_code, option in result.errors, "is not an identifier" in result.errors) == (2, True, True)


def test_a_damaged_line_is_an_error(log: Path, run_command: RunCommand) -> None:
    log.write_bytes(log.read_bytes().replace(b'"severity":4', b'"severity":5', 1))
    result = run_command("history", "--locker", "l1", "--format", "json")
    assert (result.exit_code, result.output) == (1, b"")
    assert "is damaged at line 7" in result.errors


def test_a_projection_of_another_version_names_the_next_step(log: Path, run_command: RunCommand) -> None:
    with closing(sqlite3.connect(projection_path(log))) as database, database:
        database.execute("UPDATE progress SET schema = 'older'")
    result = run_command("history", "--locker", "l1")
    assert result.exit_code == 1
    assert "lockstream rebuild" in result.errors
