"""`run.py` and `python -m lockstream`: what an old Python, or one without the packages, prints."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lockstream
from lockstream.tests.support.processes import TIMEOUT_SECONDS
from lockstream.tests.support.requirements import find_program

ROOT = Path(lockstream.__file__).parents[1]

STARTS = [["run.py"], ["-m", "lockstream"]]

NO_PACKAGES = "-S", "-E", "-s"
"""Options of Python that leave out the installed packages, and the environment variables that name others."""

OLD_PYTHONS = [f"python3.{minor}" for minor in range(6, 12)]


@pytest.fixture(scope="module")
def old_python() -> str:
    """The path of a Python older than 3.12. If this machine has none, the test is skipped."""
    for program in filter(None, map(find_program, OLD_PYTHONS)):
        if started(program, "-c", "")[0] == 0:  # a version manager may have a placeholder that runs nothing
            return program
    pytest.skip(f"none of {', '.join(OLD_PYTHONS)} runs here")


def started(python: str, *arguments: str) -> tuple[int, str, str]:
    """Run Python in the folder of run.py, and return its exit code, output and errors."""
    command = [python, *NO_PACKAGES, "-B", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("start", STARTS, ids=" ".join)
def test_missing_packages_are_answered_with_the_command_that_installs_them(start: list[str]) -> None:
    assert started(sys.executable, *start) == (
        1,
        "",
        "lockstream: The package typer is not installed. Run `pip install -r requirements.txt`, or start with `make "
        "run`, which installs everything.\n",
    )


@pytest.mark.parametrize("start", STARTS, ids=" ".join)
def test_an_old_python_is_answered_with_the_version_that_is_needed(start: list[str], old_python: str) -> None:
    code, output, errors = started(old_python, *start)
    assert (code, output) == (1, "")
    assert re.fullmatch(
        r"lockstream: This is Python 3\.\d+\.\d+, and Lockstream needs 3\.12 or newer\. Run it with a newer one, such "
        r"as `python3\.12`\.\n",
        errors,
    )


@pytest.mark.parametrize("module", ["run.py", "lockstream/__init__.py", "lockstream/__main__.py"])
def test_an_old_python_can_parse_the_check(module: str) -> None:
    ast.parse((ROOT / module).read_text(), feature_version=(3, 7))
