"""The figures on the terminal."""

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.figures import Cpu, Outcome, Row, Series
from bench.goals import GOALS

CPU_HEADS = "its CPU", "database's CPU", "load generator's CPU", "other CPU"

_FULL_BAR = 2.0
"""Times the goal: what reaches further is cut off."""


def show(outcome: Outcome, console: Console) -> None:
    console.print(_goals(outcome), _series(outcome.series), _bars(outcome.rows))
    for group, reason in outcome.missing.items():
        console.print(Text(f"{group} was not measured: {brief(reason)}", style="red"))


def brief(reason: str) -> str:
    """What a sentence or a traceback comes down to: its last line."""
    return reason.strip().splitlines()[-1]


def verdict(row: Row) -> str:
    return "met" if row.met else "missed"


def cpu(of: Series) -> list[str]:
    """The most that was seen of each of `CPU_HEADS`, as a percentage of one core."""
    shares = ([getattr(seen, name) for seen in of.cpu] for name in Cpu.__struct_fields__)
    return ["" if not seen or None in seen else f"{max(seen):.0%}" for seen in shares]


def _goals(outcome: Outcome) -> Table:
    table = Table("what", "figure", "ratio", "goal", "", title="Goals")
    rows = {row.goal.name: row for row in outcome.rows}
    for goal in GOALS:
        if row := rows.get(goal.name):
            colour = "green" if row.met else "red"
            table.add_row(goal.what, row.figure, row.reached.show(), goal.wanted, Text(verdict(row), style=colour))
        elif goal.group in outcome.missing:
            table.add_row(goal.what, "", "", goal.wanted, Text("not measured", style="red"))
    return table


def _series(series: list[Series]) -> Table:
    table = Table("contestant", "median (min–max)", "unit", *CPU_HEADS, title="Side by side")
    for of in series:
        table.add_row(of.what, of.spread().show(), of.unit, *cpu(of))
    return table


def _bars(rows: list[Row]) -> Group:
    """Achieved against goal: a bar that reaches the middle has met it."""
    table = Table("goal", f"reached of it, up to {_FULL_BAR:g} times", "", title="Reached")
    for row in rows:
        bar = ProgressBar(
            total=_FULL_BAR,
            completed=min(row.achieved, _FULL_BAR),
            width=40,
            complete_style="green" if row.met else "red",
            finished_style="green",
        )
        table.add_row(row.goal.name, bar, f"{row.achieved:.2f}")
    return Group(table)
