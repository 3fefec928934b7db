"""The page on logs and traces: its names and members are those of the code, and its walk-through runs."""

import ast
import logging
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.presentation.http.telemetry.access_log import AccessLog
from lockstream.presentation.http.telemetry.exchanges import Exchange
from lockstream.tests.docs.test_pages import printed_by, script_of, section
from lockstream.tests.support.otlp import collecting
from lockstream.tests.support.processes import Server
from lockstream.tests.support.requirements import requires_program

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/logs.md").read_text()
MODULES = [path for path in (ROOT / "lockstream").rglob("*.py") if "tests" not in path.relative_to(ROOT).parts]
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}
LEVELS_OF_LOG = {"projection_rebuilt": {"INFO", "WARNING"}}
"""Levels of those names that are logged at a level which the code computes."""


def logging_calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Yield place and method of each call of a logger in the product."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner, method = ast.unparse(node.func.value), node.func.attr
                if owner in ("logger", "logging") and (method in LEVELS or method == "log"):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, method


def event_name_of(call: ast.Call) -> str | None:
    """Return the event name that a call gives as a literal."""
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event_name" and isinstance(value, ast.Constant):
                    return str(value.value)
    return None


def test_every_line_of_the_product_has_an_event_name() -> None:
    assert [place for place, call, _ in logging_calls() if event_name_of(call) is None] == []


def test_the_page_lists_every_event_name_with_its_levels() -> None:
    logged: dict[str, set[str]] = defaultdict(set)
    for _, call, method in logging_calls():
        name = str(event_name_of(call))
        logged[name] |= LEVELS_OF_LOG[name] if method == "log" else {LEVELS[method]}
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z, ]+) \| ", section(PAGE, "Event names"), re.MULTILINE)
    assert {name: set(levels.split(", ")) for name, levels in rows} == logged
    assert [name for name, _ in rows] == sorted(logged)


def test_the_page_lists_every_member_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    AccessLog(1).note(Exchange("GET", "/network", "get_network", may_wait=False, address="192.0.2.1", request_id="id"))
    usual = vars(logging.makeLogRecord({}))
    members = [name for name in vars(caplog.records[0]) if name not in usual and name != "event_name"]
    listed = re.findall(r"^\| `(\w+)` \| ", section(PAGE, "The access log"), re.MULTILINE)
    assert listed == [name for name in members if name not in ("message", "asctime")]


@requires_program("curl")
def test_the_walk_through_leaves_the_trace_that_the_page_shows(log_path: Path) -> None:
    script = script_of(PAGE)
    shown = [line[2:] for line in script.splitlines() if line.startswith("# ")]
    [tree] = re.findall(r"```text\n(post_event\n.*?)```", PAGE, re.DOTALL)
    with collecting() as collector, Server(log_path, **collector.settings).start() as server:
        for line, expected in zip(printed_by(script, server), shown, strict=True):
            assert re.fullmatch(re.escape(expected).replace("…", ".*"), line), expected
        assert server.stop(signal.SIGTERM) == 0
        [request] = collector.named("post_event")
        assert "\n  ".join(["post_event", *collector.children(request)]) + "\n" == tree
        assert request.trace_id in PAGE
