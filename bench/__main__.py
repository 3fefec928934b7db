"""The command line: `python -m bench`, or with the names of goals or groups that are to be measured."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import document, report
from bench.errors import BenchFailure, Skipped
from bench.figures import Outcome
from bench.goals import GOALS
from bench.groups import history, lone, memory, nodes, reads, rebuild, slow_disk, start, sustained, throughput
from bench.machine import busy_cores, describe, filesystem
from bench.scale import FULL, QUICK
from bench.session import Session

_GROUPS: dict[str, Callable[[Session], Outcome]] = {
    "throughput": throughput.measure,
    "sustained": sustained.measure,
    "memory": memory.measure,
    "history": history.measure,
    "start": start.measure,
    "rebuild": rebuild.measure,
    "reads": reads.measure,
    "slow-disk": slow_disk.measure,
    "lone": lone.measure,
    "nodes": nodes.measure,
}
"""In this order, as `memory` writes the big log anew, and the two after it use it."""

_NO_DISKS = {"tmpfs", "ramfs", "overlay"}


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Goals or groups, see --list; all, if none is named."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Little of everything: for trying the benchmark.")] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", envvar="BENCH_DIR", help="Where logs are written. [default: a temporary folder]"),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(envvar="BENCH_CACHE", help="Where the big log is kept. [default: not at all]")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write performance.md and performance.png there, if all was measured, and scaling.md's part of nodes.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what there is to measure.")] = False,
) -> None:
    """Measure Lockstream beside its peers, and hold it to its goals."""
    console = Console()
    if list_:
        for goal in GOALS:
            console.print(f"{goal.group:12}{goal.name:18}{goal.what}", highlight=False)
        return
    groups = _groups(names or [])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstream-bench-", dir=directory) as folder:
        _require_disk(Path(folder), console)
        session = Session(QUICK if quick else FULL, Path(folder), cache or Path(folder), _teller())
        outcome = _measure(groups, session)
        machine = describe(Path(folder)) | {"other work": f"at most {outcome.busy:.0%} of a core, before each group"}
    console.print(f"{time.monotonic() - began:,.0f} seconds; " + "; ".join(machine.values()), highlight=False)
    report.show(outcome, console)
    if write:
        machine["command"] = f"`{' '.join(['python -m bench', *sys.argv[1:]])}`"
        if not names:
            document.write(write, outcome, machine, session.scale)
        document.fill_in(write, outcome, machine)
    if outcome.missing:
        raise typer.Exit(1)


def _groups(names: list[str]) -> list[str]:
    wanted = {name: goal.group for goal in GOALS for name in (goal.name, goal.group)}
    if unknown := [name for name in names if name not in wanted]:
        raise typer.BadParameter(f"There is no {', '.join(unknown)}; --list says what there is.")
    chosen = {wanted[name] for name in names}
    return [group for group in _GROUPS if group in chosen or not names]


def _measure(groups: list[str], session: Session) -> Outcome:
    """One group after the other. What fails in one leaves the others their figures, and is told at the end."""
    outcome = Outcome()
    for name in groups:
        outcome.busy = max(outcome.busy, busy := busy_cores())
        session.tell(f"{name}; {busy:.0%} of a core is busy otherwise")
        try:
            found = _GROUPS[name](session)
        except (BenchFailure, Skipped) as error:
            session.tell(f"{name} is without figures: {error}")
            outcome.missing[name] = str(error)
        else:
            outcome.rows += found.rows
            outcome.series += found.series
            outcome.parts[name] = found
    order = [goal.name for goal in GOALS]
    outcome.rows.sort(key=lambda row: order.index(row.goal.name))
    return outcome


def _require_disk(directory: Path, console: Console) -> None:
    if (kind := filesystem(directory)) in _NO_DISKS:
        console.print(f"{directory} is on {kind}, which flushes nothing: name a folder on a disk with --dir.")
        raise typer.Exit(2)


def _teller() -> Callable[[str], None]:
    """Tells on standard error what goes on, with the time."""
    told = Console(stderr=True, highlight=False, markup=False)
    return lambda progress: told.print(f"{time.strftime('%H:%M:%S')} {progress}")


if __name__ == "__main__":
    typer.run(main)
