"""The figures as tables and as a picture: on the terminal, in docs/performance.md and in docs/scaling.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from rich.console import Console
from rich.markdown import Markdown

from bench.figures import Cpu, GoalResult, GroupResult, RunResult, Series
from bench.goals import GOALS
from bench.page import fill, has_place, markdown

_GOAL_HEADS = "measured", "figure", "ratio", "goal", "result"
_SERIES_HEADS = (
    "contestant",
    "median (min–max)",
    "unit",
    "contestant's CPU",
    "database's CPU",
    "load generator's CPU",
    "other CPU",
)

_LONGEST_BAR = 10.0
"""Longest bar, as a multiple of the goal. Longer bars are cut off."""


def show(run: RunResult, machine: Mapping[str, str], console: Console) -> None:
    """Print the tables: formatted on a terminal, and as Markdown into a file."""
    text = _performance(run, machine)
    console.print(Markdown(text) if console.is_terminal else text, markup=False, soft_wrap=not console.is_terminal)


def write(folder: Path, run: RunResult, machine: Mapping[str, str], *, is_complete: bool) -> list[Path]:
    """Write the figures into the pages of `folder` that have a place for them, and return the written files.

    Only a complete run replaces all figures. For a group without figures, the former figures stay.
    """
    content = {}
    if is_complete:
        content["performance.md", "performance"] = _performance(run, machine)
    if group := run.groups.get("nodes"):
        content["scaling.md", "nodes"] = _nodes(group, machine)
    written = []
    for (file, name), text in content.items():
        if has_place(folder / file, name):
            fill(folder / file, name, text)
            written.append(folder / file)
    if folder / "performance.md" in written:
        written.append(_plot(folder / "performance.png", _results(run.groups)))
    return written


def _performance(run: RunResult, machine: Mapping[str, str]) -> str:
    series = [one for group in run.groups.values() for one in group.series]
    return "\n".join(
        [
            "## Goals\n",
            _goal_table(_results(run.groups), run.missing),
            "## Side by side\n",
            _series_table(series),
            "## The machine\n",
            _machine_table(machine),
        ]
    )


def _nodes(group: GroupResult, machine: Mapping[str, str]) -> str:
    return "\n".join([_goal_table(group.goals, {}), _series_table(group.series), _machine_table(machine)])


def _results(groups: Mapping[str, GroupResult]) -> list[GoalResult]:
    """Return the results in the order of the goals."""
    results = [result for group in groups.values() for result in group.goals]
    return sorted(results, key=lambda result: GOALS.index(result.goal))


def _goal_table(results: Sequence[GoalResult], missing: Mapping[str, str]) -> str:
    by_goal = {result.goal: result for result in results}
    rows = []
    for goal in GOALS:
        if result := by_goal.get(goal):
            verdict = "met" if result.is_met else "**missed**"
            rows.append((goal.subject, result.figure, str(result.ratio), goal.wanted, verdict))
        elif goal.group in missing:
            reason = missing[goal.group].strip().splitlines()[-1]
            rows.append((goal.subject, "", "", goal.wanted, f"not measured: {reason}"))
    return markdown(_GOAL_HEADS, rows)


def _series_table(series: Sequence[Series]) -> str:
    return markdown(_SERIES_HEADS, [(one.contestant, str(one.spread), one.unit, *_cpu(one)) for one in series])


def _machine_table(machine: Mapping[str, str]) -> str:
    return markdown(("", ""), list(machine.items()))


def _cpu(series: Series) -> list[str]:
    """Return the highest CPU use of all repetitions, in percent of a core."""
    columns = ([getattr(cpu, name) for cpu in series.cpu] for name in Cpu.__struct_fields__)
    return ["" if not values or None in values else f"{max(values):.0%}" for values in columns]


def _plot(file: Path, results: Sequence[GoalResult]) -> Path:
    mpl.use("Agg")
    names = [result.goal.name for result in results]
    achieved = [min(result.achieved, _LONGEST_BAR) for result in results]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.4 * len(results)), layout="constrained")
    axes.set_title(f"The achieved part of each goal, up to {_LONGEST_BAR:g} times")
    bars = axes.barh(names, achieved, color=["#2a9d5c" if result.is_met else "#c8443c" for result in results])
    axes.bar_label(bars, [f" {value:.2f}" for value in achieved])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("achieved, in goals (a bar that reaches the line has met its goal)")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file
