"""The command line of the benchmark: `python -m bench`, or with the names of the groups to measure."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console as Terminal

from bench import report
from bench.errors import BenchFailure
from bench.figures import GroupResult, RunResult
from bench.groups import (
    big_log,
    console,
    feed,
    keys,
    lists,
    memory,
    metrics,
    nodes,
    quarantine,
    reads,
    rebuild,
    single_client,
    slow_disk,
    start,
    sustained,
    throughput,
)
from bench.machine import describe, filesystem
from bench.resources import busy_cores
from bench.scale import FULL, QUICK
from bench.session import Session

_GROUPS: dict[str, Callable[[Session], GroupResult]] = {
    "throughput": throughput.measure,
    "sustained": sustained.measure,
    "memory": memory.measure,
    "big-log": big_log.measure,
    "start": start.measure,
    "rebuild": rebuild.measure,
    "reads": reads.measure,
    "lists": lists.measure,
    "console": console.measure,
    "feed": feed.measure,
    "quarantine": quarantine.measure,
    "keys": keys.measure,
    "metrics": metrics.measure,
    "slow-disk": slow_disk.measure,
    "single-client": single_client.measure,
    "nodes": nodes.measure,
}
"""The groups in the order of their measurement. `memory` writes the big log that `big-log`, `start` and `feed` use."""

_WITHOUT_DISK = {"tmpfs", "ramfs", "overlay"}


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GROUP]...", help=f"Groups to measure: {', '.join(_GROUPS)}. [default: all]"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure a little of everything, to try the benchmark.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            envvar="BENCH_DIR",
            exists=True,
            file_okay=False,
            help="Folder for logs. [default: a temporary folder]",
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the figures into FOLDER: performance.md and performance.png if all groups were measured, and "
            "the figures of nodes into scaling.md.",
        ),
    ] = None,
) -> None:
    """Measure Lockstream beside its peers, and hold it to its goals."""
    if unknown := set(names or []) - set(_GROUPS):
        raise typer.BadParameter(f"There is no group {', '.join(unknown)}. The groups are {', '.join(_GROUPS)}.")
    terminal = Terminal(highlight=False)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstream-bench-", dir=directory) as folder:
        _require_disk(Path(folder), terminal)
        session = Session(QUICK if quick else FULL, Path(folder), _progress_printer())
        run = _measure([name for name in _GROUPS if not names or name in names], session)
        machine = describe(Path(folder)) | {
            "repetitions": f"{session.scale.repetitions}",
            "other work": f"at most {run.busy_cores:.0%} of a core, before each group",
            "command": f"`{' '.join(['python -m bench', *sys.argv[1:]])}`",
        }
    report.show(run, machine, terminal)
    terminal.print(f"{time.monotonic() - started:,.0f} s")
    if write:
        written = report.write(write, run, machine, is_complete=not names)
        terminal.print(f"Written: {', '.join(map(str, written)) or 'nothing'}")
    if run.missing:
        raise typer.Exit(1)


def _measure(groups: list[str], session: Session) -> RunResult:
    """Measure the groups in turn, and each group that failed once more at the end.

    A peer crashed once in many runs, and its group had no figures.
    """
    run = RunResult()
    for name in groups:
        _measure_group(name, session, run)
    for name in list(run.missing):
        _measure_group(name, session, run)
    return run


def _measure_group(name: str, session: Session, run: RunResult) -> None:
    """Add the figures of a group to `run`, or the reason why they are missing."""
    busy = busy_cores()
    run.busy_cores = max(run.busy_cores, busy)
    session.tell(f"{name}; other work takes {busy:.0%} of a core")
    try:
        run.groups[name] = _GROUPS[name](session)
        run.missing.pop(name, None)
    except BenchFailure as error:
        session.tell(f"{name} has no figures: {error}")
        run.missing[name] = str(error)


def _require_disk(directory: Path, terminal: Terminal) -> None:
    if (kind := filesystem(directory)) in _WITHOUT_DISK:
        terminal.print(f"{directory} is on {kind}, which flushes nothing. Name a folder on a disk with --dir.")
        raise typer.Exit(2)


def _progress_printer() -> Callable[[str], None]:
    """Return a function that prints a line with the time on standard error."""
    terminal = Terminal(stderr=True, highlight=False, markup=False)
    return lambda line: terminal.print(f"{time.strftime('%H:%M:%S')} {line}")


if __name__ == "__main__":
    typer.run(main)
