"""The fixture `fault_report`, and the table of all counts: at the end of the run, and in a page if one is named.

LOCKSTREAM_CRASH_REPORT names the page, such as `docs/reliability.md`.
"""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.tests.crash.fault_report import COLUMNS, FaultReport, rows, terminal_lines

PAGE = "LOCKSTREAM_CRASH_REPORT"


@pytest.fixture
def fault_report(record_property: Callable[[str, object], None]) -> FaultReport:
    return FaultReport(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [
        report
        for category in terminalreporter.stats.values()
        for report in category
        if isinstance(report, pytest.TestReport)
    ]
    table = rows(reports)
    if not table:
        return
    terminalreporter.section("faults")
    for line in terminal_lines(table):
        terminalreporter.write_line(line)
    if page := os.environ.get(PAGE):
        _write(config.rootpath / page, table, _summary(reports))
        terminalreporter.write_line(f"The table was written to {page}.")


def _summary(reports: list[pytest.TestReport]) -> str:
    """Return the numbers of tests, such as "312 passed, 1 skipped"."""
    ended = [report for report in reports if report.when == "call" or report.outcome != "passed"]
    counts = {name: sum(report.outcome == name for report in ended) for name in ("failed", "passed", "skipped")}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _write(page: Path, table: list[tuple[str, ...]], tests: str) -> None:
    from bench.machine import describe
    from bench.page import fill, markdown

    settings = [f"{name}={value}" for name in ("LOCKSTREAM_CRASH",) if (value := os.environ.get(name))]
    command = " ".join([*settings, "python -m pytest", shlex.join(sys.argv[1:])])
    machine = describe(Path("/tmp")) | {"command": f"`{command}`", "tests": tests}
    fill(page, "crash", f"{markdown(COLUMNS, table)}\n{markdown(('', ''), list(machine.items()))}")
