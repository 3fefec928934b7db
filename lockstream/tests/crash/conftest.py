"""`tally`, and the table of all that was handed to it: at the end of the run, and in a page if one is named.

LOCKSTREAM_CRASH_REPORT names the page, as `docs/reliability.md`.
"""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.tests.crash import tally as tallies

PAGE = "LOCKSTREAM_CRASH_REPORT"


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> tallies.Tally:
    return tallies.tally(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = [of for reports in terminalreporter.stats.values() for of in reports if isinstance(of, pytest.TestReport)]
    table = tallies.rows(found)
    if not table:
        return
    terminalreporter.section("faults")
    for line in tallies.columns_of(table):
        terminalreporter.write_line(line)
    if page := os.environ.get(PAGE):
        _write(config.rootpath / page, table, outcome(found))
        terminalreporter.write_line(f"This table is in {page} now.")


def outcome(reports: list[pytest.TestReport]) -> str:
    """As in `312 passed, 1 skipped`."""
    called = [of for of in reports if of.when == "call" or of.outcome != "passed"]
    counts = {name: sum(of.outcome == name for of in called) for name in ("failed", "passed", "skipped")}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _write(page: Path, table: list[tuple[str, ...]], tests: str) -> None:
    from bench.machine import describe
    from bench.page import fill, markdown

    settings = [f"{name}={value}" for name in ("LOCKSTREAM_CRASH",) if (value := os.environ.get(name))]
    command = " ".join([*settings, "python -m pytest", shlex.join(sys.argv[1:])])
    machine = describe(Path("/tmp")) | {"command": f"`{command}`", "tests": tests}
    fill(page, "crash", f"{markdown(tallies.COLUMNS, table)}\n{markdown(('', ''), list(machine.items()))}")
