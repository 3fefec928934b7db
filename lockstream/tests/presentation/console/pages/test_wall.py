"""The parts of a locker's wall: doors in natural order and in rows, and the steps of the slider."""

import re
from pathlib import Path

import pytest

from lockstream.presentation import console
from lockstream.presentation.console.api import Answer, Failed
from lockstream.presentation.console.pages.wall import columns_of, rows_of, steps_of


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["A10", "A2", "A1"], [["A1", "A2", "A10"]]),
        (["10", "9", "1"], [["1", "9", "10"]]),
        (["B2", "A10", "A2", "B1"], [["A2", "A10"], ["B1", "B2"]]),
        (["A-1", "A-3", "AB-12", "AB-2"], [["A-1", "A-3"], ["AB-2", "AB-12"]]),
        (["C1", "B2", "B1", "A3", "A2", "A1"], [["A1", "A2", "A3"], ["B1", "B2"], ["C1"]]),
        # names that are plainly no grid are one row
        (["A1", "B1", "C1"], [["A1", "B1", "C1"]]),
        (["lobby", "B2", "B1", "A2", "A1"], [["A1", "A2", "B1", "B2", "lobby"]]),
        (["small 1", "large 10", "large 2", "small 2"], [["large 2", "large 10", "small 1", "small 2"]]),
        (["A\u00b2", "A\u00b3", "B1", "B2"], [["A\u00b2", "A\u00b3", "B1", "B2"]]),
    ],
)
def test_doors_have_a_natural_order_and_a_row_for_each_letter(names: list[str], rows: list[list[str]]) -> None:
    found = rows_of([{"compartment_id": name} for name in names])
    assert [[door["compartment_id"] for door in row] for row in found] == rows


@pytest.mark.parametrize(
    ("lengths", "columns"), [([], None), ([8], None), ([2, 1], 2), ([8, 8, 3], 8), ([8, 9], None), ([1, 1], 1)]
)
def test_rows_stay_whole_on_a_telephone_if_they_are_short(lengths: list[int], columns: int | None) -> None:
    assert columns_of([["door"] * length for length in lengths]) == columns


def test_the_style_sheet_has_a_rule_for_each_number_of_columns() -> None:
    style = (Path(console.__file__).parent / "static/console.css").read_text()
    ruled = [int(number) for number in re.findall(r"\.wall--(\d+) \{", style)]
    grids = {columns_of([["door"] * length] * 2) for length in range(2, 100)}  # a grid has two doors a row on average
    assert ruled == sorted(columns for columns in grids if columns)


def test_a_slider_without_events_has_no_steps() -> None:
    page = Answer({"items": [{}], "next": None}, 1, "/", 200)
    assert steps_of(Failed("not now", "/"), None) is None
    assert steps_of(page, Failed("not now", "/")) is None
    assert steps_of(page._replace(value={"items": [], "next": None}), None) is None
