"""docs/reliability.md agrees with the tests: the points of the table and the tests behind them; README leads to it."""

import re
from pathlib import Path

import pytest

from bench.page import fill
from lockstream.tests.crash.fault_report import POINTS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/reliability.md"
SECTIONS = dict(part.partition("\n")[::2] for part in PAGE.read_text().split("\n## ")[1:])
SEEN = re.findall(
    r"^- \*\*(\d)\.\*\* .*?^  `([a-z/_]+\.py)::(test_[a-z_0-9]+)`$", SECTIONS["Seen to fail"], re.MULTILINE | re.DOTALL
)


def test_the_points_of_the_table_are_those_of_the_page() -> None:
    named = dict(re.findall(r"^(\d)\. \*\*([^*]+)\.\*\*", SECTIONS["What is provoked"], re.MULTILINE))
    assert list(named) == [str(point) for point in range(1, 9)]
    assert {point: name.lower() for point, name in named.items() if point in POINTS} == POINTS


def test_every_test_that_counts_faults_is_linked() -> None:
    tests = (ROOT / "lockstream/tests/crash").glob("test_*.py")
    counting = [path for path in tests if "fault_report.add(" in path.read_text()]
    assert counting
    assert [path.name for path in counting if f"](../{path.relative_to(ROOT)})" not in PAGE.read_text()] == []


def test_each_point_was_seen_to_fail_by_a_test_that_exists() -> None:
    assert len(SEEN) == SECTIONS["Seen to fail"].count("\n- ")
    assert {point for point, *_ in SEEN} == {str(point) for point in range(1, 9)}
    for _, file, name in SEEN:
        assert f"def {name}(" in (ROOT / "lockstream/tests" / file).read_text(), f"{file}::{name}"


@pytest.mark.parametrize("name", ["crash", "soak"])
def test_the_page_has_a_place_for_each_table(name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    fill(page, name, "| a | table |")
    filled = page.read_text()
    assert filled.count("| a | table |") == 1
    fill(page, name, "| another |")
    assert "| a | table |" not in page.read_text()
    assert page.read_text().replace("| another |", "| a | table |") == filled


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no place"):
        fill(page, "crash", "| a | table |")
    assert page.read_text() == "nothing"


def test_the_readme_leads_to_the_page() -> None:
    assert "](docs/reliability.md" in (ROOT / "README.md").read_text()
