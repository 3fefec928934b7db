"""The tables that the benchmark writes into pages."""

import re
from pathlib import Path

import pytest

from bench.figures import Cpu, GroupResult, RunResult, Series, Spread
from bench.goals import GOALS, result
from bench.groups.big_log import STEPS
from bench.groups.lists import PAGE_ITEMS, POST_RATE, READER_RATE, READERS
from bench.load.network import PER_LOCKER
from bench.report import write
from bench.scale import FULL

MARKED = "# Title\n\n<!-- {0}: written by make bench -->\n{1}<!-- end of {0} -->\n\nand more\n"
NODES = GroupResult(
    [result("two-nodes", "32,000 events/s", Spread(32_000, 31_000, 33_000))],
    [Series("2 nodes", "events/s", [32_000], [Cpu(1.2, 0.4, 0.1, 0.02)]), Series("inserts", "events/s", [5_000])],
)
SINGLE_CLIENT = GroupResult([result("single-client", "2 ms", Spread(2, 1, 3))], [])
PERFORMANCE = (Path(__file__).parents[3] / "docs/performance.md").read_text()


def test_the_figures_of_a_group_replace_those_of_its_page(tmp_path: Path) -> None:
    # given a page with old figures
    page = tmp_path / "scaling.md"
    page.write_text(MARKED.format("nodes", "old figures\n"))
    # when only this group was measured
    written = write(tmp_path, RunResult({"nodes": NODES}), {"CPU": "two cores"}, is_complete=False)
    # then the page has its figures, and the rest of the page is unchanged
    text = page.read_text()
    assert written == [page]
    assert "≥ 25,000 events/s | met |" in text
    assert "| 2 nodes | 32,000 (32,000–32,000) | events/s | 120% | 40% | 10% | 2% |" in text
    assert "| inserts | 5,000 (5,000–5,000) | events/s |  |  |  |  |" in text
    assert "| CPU | two cores |" in text
    assert "old figures" not in text
    assert text.endswith("<!-- end of nodes -->\n\nand more\n")


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("# Title\n", RunResult({"nodes": NODES})),
        (MARKED.format("nodes", "old figures\n"), RunResult(missing={"nodes": "PostgreSQL is missing"})),
        (MARKED.format("nodes", "old figures\n"), RunResult({"single-client": SINGLE_CLIENT})),
    ],
    ids=["no place", "no figures", "another group"],
)
def test_a_page_without_a_place_or_without_new_figures_is_unchanged(tmp_path: Path, text: str, run: RunResult) -> None:
    (tmp_path / "scaling.md").write_text(text)
    assert write(tmp_path, run, {}, is_complete=False) == []
    assert (tmp_path / "scaling.md").read_text() == text


def test_a_missing_page_is_not_created(tmp_path: Path) -> None:
    assert write(tmp_path, RunResult({"nodes": NODES}), {}, is_complete=True) == []
    assert list(tmp_path.iterdir()) == []


def test_a_complete_run_replaces_all_figures_and_draws_the_picture(tmp_path: Path) -> None:
    # given a page
    page = tmp_path / "performance.md"
    page.write_text(MARKED.format("performance", "old figures\n"))
    run = RunResult({"single-client": SINGLE_CLIENT, "nodes": NODES}, {"slow-disk": "strace is\nnot installed."})
    # when a complete run has no figures of one group
    written = write(tmp_path, run, {"CPU": "two cores"}, is_complete=True)
    # then its goals say why, and the goals of the others follow in their order
    assert written == [page, tmp_path / "performance.png"]
    assert re.findall(r"^\| .* \| (.*) \| (.*) \|$", page.read_text().split("## Side by side")[0], re.MULTILINE)[
        2:
    ] == [
        ("≥ 0.6 of the rate without", "not measured: not installed."),
        ("≤ 1.4 × (flush + bare ASGI)", "**missed**"),
        ("≥ 25,000 events/s", "met"),
    ]
    assert (tmp_path / "performance.png").read_bytes().startswith(b"\x89PNG")


def test_an_incomplete_run_does_not_replace_all_figures(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(MARKED.format("performance", "old figures\n"))
    assert write(tmp_path, RunResult({"nodes": NODES}), {}, is_complete=False) == []


def test_the_committed_page_has_a_row_for_each_goal() -> None:
    table = PERFORMANCE.split("## Goals\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \| .* \| (.*?) \| .*? \|$", table, re.MULTILINE)[2:]
    assert rows == [(goal.subject, goal.wanted) for goal in GOALS]


def test_the_committed_page_names_the_scale_of_the_full_benchmark() -> None:
    method = " ".join(PERFORMANCE.split("## How it is measured\n")[1].split())
    assert f"{FULL.repetitions} times" in method
    assert f"{FULL.saved_events:,} events a repetition" in method
    assert f"start, {FULL.behind_events:,} events behind a log of 5 million" in PERFORMANCE
    assert f"The log of {FULL.big_log_events:,} events" in method
    assert f"from {FULL.big_log_events // STEPS:,} to {FULL.big_log_events:,} events" in method
    assert f"one log of {FULL.listed_lockers:,} lockers with {PER_LOCKER} compartments each" in method
    assert f"*{READERS} readers* send {READER_RATE} requests a second each" in method
    assert f"while {POST_RATE:,} single events a second come in" in method
    assert f"*p99* is that of {FULL.lists_seconds:g} seconds" in method
    assert f"*Page {FULL.pages:,}*" in method
    assert f"Pages have {PAGE_ITEMS} items, except those of lockers: {FULL.listed_lockers // FULL.pages}" in method
