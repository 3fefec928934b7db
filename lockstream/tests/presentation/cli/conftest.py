"""`run`: a command in this process, fast."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lockstream.presentation.cli.main import main


@dataclass
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    said: str
    """On standard error."""

    def in_a_sentence(self, *named: str) -> None:
        """It failed, and said so in one line in which all of `named` occur."""
        assert self.code == 1
        assert self.said.startswith("lockstream: ")
        assert self.said.count("\n") == 1
        assert [name for name in named if name not in self.said] == []


type Run = Callable[..., Ended]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def run(*arguments: object) -> Ended:
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        written = capsysbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, written.out, written.err.decode())

    return run
