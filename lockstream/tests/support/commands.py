"""Run a command of the command line in this process, which is ten times as fast as a process of its own."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest

from lockstream.presentation.cli.main import main
from lockstream.tests.support.processes import assert_no_key


@dataclass
class CommandResult:
    """The exit code of a command, and its output."""

    exit_code: int
    output: bytes
    errors: str
    """The text on standard error."""

    def assert_is_error(self, *parts: str) -> None:
        """Check that the command failed with one line on standard error, which contains each of `parts`."""
        assert self.exit_code == 1
        assert self.errors.startswith("lockstream: ")
        assert self.errors.count("\n") == 1
        assert [part for part in parts if part not in self.errors] == []


type RunCommand = Callable[..., CommandResult]


@pytest.fixture
def run_command(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """A function that runs `lockstream` with arguments, and with settings as environment variables."""

    def run(*arguments: object, **settings: str) -> CommandResult:
        capsysbinary.readouterr()
        with monkeypatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as exited:
                main([str(argument) for argument in arguments])
        written = capsysbinary.readouterr()
        assert_no_key(written.err)
        assert isinstance(exited.value.code, int)
        return CommandResult(exited.value.code, written.out, written.err.decode())

    return run


def items(run_command: RunCommand, *arguments: str, **settings: str) -> list[dict[str, Any]]:
    """Return the items that a command lists, which must be the same as JSON and as CSV."""
    result = run_command(*arguments, "--format", "json", **settings)
    assert result.exit_code == 0, result.errors
    found = [json.loads(line) for line in result.output.splitlines()]
    rows = list(csv.DictReader(StringIO(run_command(*arguments, "--format", "csv", **settings).output.decode())))
    assert len(rows) == len(found)
    for row, item in zip(rows, found, strict=True):
        assert list(row) == list(item)
        assert row == {name: _cell(value) for name, value in item.items()}
    return found


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith("=") else text
