"""Pictures as numbers: the coordinates of charts, which the templates draw as SVG."""

from collections.abc import Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a chart, in units of its picture."""

    x: float
    y: float
    width: float
    height: float
    value: int
    label: str


def columns(values: Sequence[tuple[str, int]], width: float, height: float, gap: float = 1) -> list[Column]:
    """Return the columns of a chart of labelled numbers, of which the highest has the whole height."""
    if not values:
        return []
    step, highest = width / len(values), max(1, *(value for _, value in values))
    found = []
    for index, (label, value) in enumerate(values):
        tall = value / highest * height
        if value:
            tall = max(tall, 1.5)  # a single event is seen beside a thousand
        found.append(
            Column(round(index * step, 2), round(height - tall, 2), round(step - gap, 2), round(tall, 2), value, label)
        )
    return found


def parts(counts: Sequence[tuple[str, int]], width: float) -> list[tuple[str, float, float, int]]:
    """Return name, start, length and count of each part of a bar that shows shares of a whole."""
    whole, start, found = sum(count for _, count in counts) or 1, 0.0, []
    for name, count in counts:
        length = count / whole * width
        if count:
            found.append((name, round(start, 2), round(length, 2), count))
        start += length
    return found
