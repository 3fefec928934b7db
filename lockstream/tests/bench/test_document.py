"""The pages that the benchmark writes."""

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the development tools are not installed")

from bench.document import fill_in
from bench.figures import Cpu, Outcome, Series, Spread
from bench.goals import row

MARKED = "# Scaling\n\n<!-- nodes: written by make bench -->\n{}<!-- end of nodes -->\n\nand more\n"
PART = Outcome(
    [row("two-nodes", "12,000 events/s", Spread(12_000, 11_000, 13_000))],
    [Series("2 nodes", "events/s", [12_000], [Cpu(1.2, 0.4, 0.1, 0.02)]), Series("inserts", "events/s", [5_000])],
)


def test_a_page_with_a_place_for_a_group_gets_its_figures_there(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text(MARKED.format("what was there\n"))
    fill_in(tmp_path, Outcome(parts={"nodes": PART}), {"CPU": "two cores"})
    text = page.read_text()
    assert "≥ 10,000 events/s | met |" in text
    assert "| 2 nodes | 12,000 (12,000–12,000) | events/s | 120% | 40% | 10% | 2% |" in text
    assert "| inserts | 5,000 (5,000–5,000) | events/s |  |  |  |  |" in text
    assert "| CPU | two cores |" in text
    assert "what was there" not in text
    assert text.endswith("<!-- end of nodes -->\n\nand more\n")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("# Scaling\n", Outcome(parts={"nodes": PART})),
        (MARKED.format("what was there\n"), Outcome(missing={"nodes": "there is no PostgreSQL"})),
        (MARKED.format("what was there\n"), Outcome(parts={"lone": PART})),
    ],
    ids=["no place", "no figures", "another group"],
)
def test_a_page_without_a_place_or_without_figures_stays_as_it_is(tmp_path: Path, text: str, outcome: Outcome) -> None:
    (tmp_path / "scaling.md").write_text(text)
    fill_in(tmp_path, outcome, {})
    assert (tmp_path / "scaling.md").read_text() == text


def test_a_page_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    fill_in(tmp_path, Outcome(parts={"nodes": PART}), {})
    assert list(tmp_path.iterdir()) == []
