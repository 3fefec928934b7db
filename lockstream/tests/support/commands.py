"""Run a command of the command line in this process, which is ten times as fast as a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lockstream.presentation.cli.main import main


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
        assert isinstance(exited.value.code, int)
        return CommandResult(exited.value.code, written.out, written.err.decode())

    return run
