"""Figures: repetitions of a measurement, their spread, and the goal that they are held to."""

from collections.abc import Iterable, Sequence
from math import ceil, inf
from statistics import median
from typing import Self

from msgspec import Struct


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that a share (0 to 1) of `values` does not exceed. Nothing is interpolated."""
    ordered = sorted(values)
    return ordered[max(0, ceil(round(share * len(ordered), 6)) - 1)]


class Spread(Struct, frozen=True):
    """Median, minimum and maximum of the repetitions of a measurement."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        repetitions = list(values)
        return cls(median(repetitions), min(repetitions), max(repetitions))

    def __str__(self) -> str:
        """Return the spread as text, such as `0.43 (0.41–0.44)`. Numbers from 100 on have no decimals."""
        return f"{_number(self.median)} ({_number(self.low)}–{_number(self.high)})"


class Goal(Struct, frozen=True):
    """A row of the table of goals."""

    name: str
    group: str
    subject: str
    """The measured thing, in words."""
    reference: str
    """The unit of the ratio, which names the compared contestant, or the unit of a figure without a ratio."""
    limit: float
    at_most: bool = False
    """Whether smaller figures are better."""

    @property
    def wanted(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g} {self.reference}"


class GoalResult(Struct, frozen=True):
    """A goal, the figure, and its ratio to the reference."""

    goal: Goal
    figure: str
    ratio: Spread

    @property
    def is_met(self) -> bool:
        return self.ratio.median <= self.goal.limit if self.goal.at_most else self.ratio.median >= self.goal.limit

    @property
    def achieved(self) -> float:
        """The achieved share of the goal: at 1 or more, the goal is met, also if smaller figures are better."""
        ratio = self.ratio.median
        if not self.goal.at_most:
            return ratio / self.goal.limit
        return self.goal.limit / ratio if ratio > 0 else inf  # memory may shrink


class Cpu(Struct, frozen=True):
    """Busy cores during a measurement, by process. None for a process that the measurement does not have."""

    contestant: float
    """All processes of the contestant."""
    database: float | None
    """All processes of the contestant's database."""
    load: float | None
    """The load generator, which has one thread."""
    other: float
    """Everything else on the machine, such as the posts during which GETs are measured."""


class PeerResult(Struct, frozen=True):
    """Output of a peer that needs no load generator."""

    rate: float
    """Events a second."""
    cpu: Cpu

    @property
    def measurement(self) -> tuple[float, Cpu]:
        return self.rate, self.cpu


class Series(Struct):
    """The repetitions of one contestant."""

    contestant: str
    unit: str
    values: list[float]
    cpu: list[Cpu] = []

    @property
    def spread(self) -> Spread:
        return Spread.of(self.values)

    @property
    def figure(self) -> str:
        return f"{self.spread} {self.unit}"


class GroupResult(Struct, frozen=True):
    """The figures of one group."""

    goals: list[GoalResult]
    series: list[Series]

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """Return the figures of all parts of a group."""
        measured = list(parts)
        return cls(
            [goal for part in measured for goal in part.goals], [one for part in measured for one in part.series]
        )


class RunResult(Struct):
    """The figures of all measured groups, by group."""

    groups: dict[str, GroupResult] = {}
    missing: dict[str, str] = {}
    """The reason why a group has no figures, by group."""
    busy_cores: float = 0
    """Most cores that were busy before a group was measured."""


def ratios(series: Series, reference: Series) -> Spread:
    """Return the spread of the ratios of two series in each repetition, which cancels slow changes of the machine."""
    return Spread.of(one / other for one, other in zip(series.values, reference.values, strict=True))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
