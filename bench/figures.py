"""Figures: what was measured, what it is held to, and whether it is met."""

from collections.abc import Iterable, Sequence
from math import ceil, inf
from statistics import median

from msgspec import Struct


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that this share of them (0 to 1) does not exceed: one that was seen, no mean of two."""
    ordered = sorted(values)
    return ordered[max(0, ceil(round(share * len(ordered), 6)) - 1)]


class Spread(Struct, frozen=True):
    """Repetitions of one measurement: their median, and the least and the most of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        seen = list(values)
        return cls(median(seen), min(seen), max(seen))

    def show(self, digits: int = 2) -> str:
        """As in `0.43 (0.41–0.44)`; numbers that are large enough lose their decimals."""
        return f"{_show(self.median, digits)} ({_show(self.low, digits)}–{_show(self.high, digits)})"


class Goal(Struct, frozen=True):
    """One line of the table of goals."""

    name: str
    group: str
    what: str
    against: str
    """What the ratio is of; or the unit of a figure that is held to a number by itself."""
    limit: float
    at_most: bool = False

    @property
    def wanted(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g} {self.against}"


class Row(Struct, frozen=True):
    """A goal with what was reached."""

    goal: Goal
    figure: str
    reached: Spread

    @property
    def met(self) -> bool:
        return self.reached.median <= self.goal.limit if self.goal.at_most else self.reached.median >= self.goal.limit

    @property
    def achieved(self) -> float:
        """How much of the goal was reached: 1 is the goal, more is better, whichever way the goal goes."""
        reached = self.reached.median
        if not self.goal.at_most:
            return reached / self.goal.limit
        return self.goal.limit / reached if reached > 0 else inf  # memory may shrink


class Cpu(Struct, frozen=True):
    """Cores that were busy while something was measured; None, where there was none of it."""

    contestant: float
    """All its processes."""
    database: float | None
    """Behind the contestant."""
    load: float | None
    """The load generator, which has one core at most."""
    other: float
    """Anything else, such as the load that GETs are measured under."""


class Told(Struct, frozen=True):
    """What a peer says of itself that needs no load generator."""

    events_a_second: float
    cpu: Cpu


class Series(Struct):
    """What one contestant did, repetition by repetition."""

    what: str
    unit: str
    values: list[float]
    cpu: list[Cpu] = []

    def spread(self) -> Spread:
        return Spread.of(self.values)


class Outcome(Struct):
    """What a group of measurements gave."""

    rows: list[Row] = []
    series: list[Series] = []
    missing: dict[str, str] = {}
    """Why a group has no figures, by its name."""
    parts: dict[str, "Outcome"] = {}
    """What each group gave, by its name."""
    busy: float = 0
    """Cores that were busy with something else, at most."""


def ratios(of: Series, against: Series) -> Spread:
    """Repetition by repetition, so that what changes slowly on the machine falls out."""
    return Spread.of(one / other for one, other in zip(of.values, against.values, strict=True))


def _show(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}f}"
