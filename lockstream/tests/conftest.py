"""Fixtures for every test, and the skipping of tests whose programs or packages are missing."""

import os
import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.support.processes import TEST_VARIABLES, printed_keys
from lockstream.tests.support.requirements import IS_COMPLETE, MISSING

_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?!lockstream|bench)(\w+)")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores it for a job in the background. The processes that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of this test's log. EVENT_LOG_PATH names it, no other setting is set, and the folder is empty."""
    for name in os.environ:
        if name.startswith("LOCKSTREAM_") and not name.startswith(TEST_VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    path = tmp_path / "event_log.jsonl"
    monkeypatch.setenv("EVENT_LOG_PATH", str(path))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the real application, over this test's log."""
    with TestClient(create_app(lambda: deployment_of(Settings()).start())) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that needs a development package, if only `requirements.txt` is installed."""
    report = yield
    if report.failed and not IS_COMPLETE and (found := _NO_MODULE.search(str(report.longrepr))):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 1, f"Skipped: {MISSING}the package {found[1]}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that needs a development package, if only `requirements.txt` is installed.

    If the run must be complete, a test that is skipped for something missing fails instead. So does a test in which a
    server in this process has logged or printed an API key.
    """
    report = yield
    if report.failed and not IS_COMPLETE and call.excinfo and call.excinfo.errisinstance(ModuleNotFoundError):
        if found := _NO_MODULE.search(call.excinfo.exconly()):
            report.outcome = "skipped"
            report.longrepr = (report.location[0], report.location[1] or 0, f"Skipped: {MISSING}the package {found[1]}")
    elif report.skipped and IS_COMPLETE and MISSING in str(report.longrepr):
        report.outcome = "failed"
    elif report.passed and (ids := printed_keys(report.caplog + report.capstdout + report.capstderr)):
        report.outcome = "failed"
        report.longrepr = f"the keys {ids} were printed with their secrets"
    return report
