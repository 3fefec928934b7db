"""The parts of a locker's wall: doors in natural order and in rows, and the steps of the slider."""

import pytest

from lockstream.presentation.console.api import Answer, Failed
from lockstream.presentation.console.pages.wall import rows_of, steps_of


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


def test_a_slider_without_events_has_no_steps() -> None:
    page = Answer({"items": [{}], "next": None}, 1, "/", 200)
    assert steps_of(Failed("not now", "/"), None) is None
    assert steps_of(page, Failed("not now", "/")) is None
    assert steps_of(page._replace(value={"items": [], "next": None}), None) is None
