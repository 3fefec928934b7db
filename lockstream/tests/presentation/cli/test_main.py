"""The command line as a whole: help, version, errors of usage, and loaded packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

import lockstream
from lockstream.presentation.cli.main import commands
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import files_beside, history, record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, command, environment, redirected

COMMANDS = [
    *("serve", "verify", "rebuild", "migrate", "import", "export", "backup", "repair"),
    *("lockers", "reservations", "faults", "history", "follow", "status"),
    *("quarantine", "keys", "audit", "simulate", "demo"),
]


def words(output: str) -> str:
    """Return the text of a panel, without its frame and line breaks."""
    return " ".join(output.replace("│", " ").split())


def test_lockstream_alone_prints_the_help(run_command: RunCommand) -> None:
    alone, helped = run_command(), run_command("--help")
    assert (alone.exit_code, alone.errors) == (0, "")
    assert alone.output == helped.output
    assert "Usage: lockstream [OPTIONS] COMMAND" in alone.output.decode()


def test_the_help_lists_every_command(run_command: RunCommand) -> None:
    output = run_command("--help").output.decode()
    assert list(get_group(commands).commands) == COMMANDS
    assert [name for name in COMMANDS if f"│ {name} " not in output] == []


def test_the_version_is_printed(run_command: RunCommand) -> None:
    result = run_command("--version")
    assert (result.exit_code, result.output.decode()) == (0, f"lockstream {lockstream.__version__}\n")


def test_an_unknown_command_is_answered_with_all_commands(run_command: RunCommand) -> None:
    result = run_command("nonsense")
    assert result.exit_code == 2
    assert f"No such command 'nonsense'. The commands are {', '.join(COMMANDS)}." in words(result.errors)


def test_a_misspelled_command_is_answered_with_the_closest_one(run_command: RunCommand) -> None:
    result = run_command("verfy")
    assert result.exit_code == 2
    assert "Did you mean 'verify'?" in result.errors


def test_an_unknown_option_is_answered_with_all_options(run_command: RunCommand) -> None:
    result = run_command("export", "--nonsense")
    assert result.exit_code == 2
    options = "--auto-migrate, --database-url, --from, --full, --help, --locker, --log, --read-url"
    assert f"No such option: --nonsense (Possible options: {options})" in words(result.errors)


def test_an_unknown_option_before_the_command_is_answered_with_all_options(run_command: RunCommand) -> None:
    result = run_command("--nonsense", "verify")
    assert result.exit_code == 2
    assert "No such option: --nonsense (Possible options: --help, --version)" in words(result.errors)


def test_a_misspelled_option_is_answered_with_the_closest_ones(run_command: RunCommand) -> None:
    result = run_command("serve", "--prot", 8000)
    assert result.exit_code == 2
    assert "No such option: --prot (Possible options: --host, --port)" in words(result.errors)


READERS = [
    *(["verify"], ["rebuild"], ["repair"], ["export"], ["export", "--full"], ["backup", "copy.jsonl"]),
    *(["lockers"], ["reservations"], ["faults"], ["history", "--locker", "locker-1"]),
]
"""Commands that need an existing log, each with its arguments."""


@pytest.mark.parametrize("has_projection", [False, True])
@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_command_names_the_absolute_path_of_a_missing_log_and_creates_nothing(
    log_path: Path, run_command: RunCommand, arguments: list[str], *, has_projection: bool
) -> None:
    # given a folder without a log, with or without its projection
    if has_projection:
        record(log_path, history())
        log_path.unlink()
    before = files_beside(log_path)
    # when a command reads the log at a relative path
    result = run_command(*arguments, "--log", log_path.name)
    # then
    assert (result.exit_code, result.errors) == (
        1,
        f"lockstream: There is no log at {log_path}. Set EVENT_LOG_PATH or --log to the log of the server, or put the "
        "log back.\n",
    )
    assert result.output == b""
    assert files_beside(log_path) == before


@pytest.mark.parametrize("arguments", [["import"], ["backup"], ["verify", "extra"], ["serve", "--port"]])
def test_missing_and_extra_arguments_are_errors_of_usage(run_command: RunCommand, arguments: list[str]) -> None:
    result = run_command(*arguments)
    assert (result.exit_code, result.output) == (2, b"")


@pytest.mark.parametrize("path", [".", "missing/log.jsonl", "/sys/log.jsonl"])
@pytest.mark.parametrize("name", ["verify", "rebuild", "export"])
def test_a_command_names_a_log_that_cannot_exist(run_command: RunCommand, name: str, path: str) -> None:
    run_command(name, EVENT_LOG_PATH=path).assert_is_error(path)


LIST_MODULES = """
import json, sys
from pathlib import Path
from lockstream.presentation.cli.main import main

modules = Path(sys.argv.pop())
try:
    main()
finally:
    modules.write_text(json.dumps(list(sys.modules)))
"""
"""The command line, which writes the names of all loaded modules into the file of the last argument."""

SERVER = {"fastapi", "starlette", "uvicorn", "psycopg", "alembic"}
STORAGE = {"sqlalchemy", "numpy"}


@pytest.mark.parametrize(
    ("arguments", "foreign"),
    [
        (["--version"], {*SERVER, *STORAGE, "rich"}),
        (["verify", "--help"], {*SERVER, *STORAGE}),
        (["export"], {*SERVER, *STORAGE, "rich"}),
        (["backup", "copy.jsonl"], {*SERVER, *STORAGE, "rich"}),
        (["verify"], {*SERVER, "rich", "sqlalchemy.dialects.postgresql"}),
        (["simulate", "--lockers", "1", "--out", "-"], {*SERVER, *STORAGE, "rich"}),
    ],
    ids=["--version", "--help", "export", "backup", "verify", "simulate"],
)
def test_a_command_loads_only_the_packages_that_it_uses(
    log_path: Path, arguments: list[str], foreign: set[str]
) -> None:
    """Each of these packages takes a tenth of a second or more to load."""
    # given
    record(log_path, history())
    modules = log_path.with_name("modules.json")
    # when
    subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments, str(modules)],
        cwd=log_path.parent,
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    # then
    loaded = set(json.loads(modules.read_text()))
    assert "lockstream.presentation.cli.main" in loaded
    assert loaded & foreign == set()


@pytest.mark.parametrize("arguments", [("export",), ("lockers",), ("simulate", "--lockers", "1", "--out", "-")])
def test_a_command_without_standard_output_says_so(log_path: Path, arguments: tuple[str, ...]) -> None:
    record(log_path, history())
    result = command(log_path, *arguments, under=redirected(">&-"))
    assert result.returncode == 1
    assert result.stderr.decode() == (
        "lockstream: Standard output is closed. Redirect it to a file or a pipe, and run the command again.\n"
    )


@pytest.mark.parametrize("arguments", [("verify",), ("rebuild",), ("backup", "copy.jsonl"), ("import", "events.jsonl")])
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_command_needs_no_standard_error(log_path: Path, arguments: tuple[str, ...], closed: str) -> None:
    record(log_path, history())
    log_path.with_name("events.jsonl").write_bytes(log_path.read_bytes())
    before = log_path.read_bytes()
    assert command(log_path, *arguments, under=redirected(closed)).returncode == 0
    assert log_path.read_bytes() == before
