"""Commands that simulate a locker network: simulate, demo.

Each command imports its own modules, so that no command waits for the modules of another.
"""

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from lockstream.presentation.cli.options import with_address
from lockstream.presentation.cli.usage import FLAG, Command
from lockstream.settings import Settings
from lockstream.simulator.rhythm import DAY

DAYS = 30
START = "2026-01-05"
"""First day of a simulation that is written to a file. It is fixed, so that a seed always gives the same bytes."""

YEARS = range(1970, 3000)

commands = typer.Typer(rich_markup_mode="markdown")

Lockers = Annotated[int, typer.Option(min=1, metavar="N", help="Lockers, of 8 to 120 compartments each.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The seed: the same one gives the same events.")]


class Period(NamedTuple):
    """The simulated time, in seconds since 1970-01-01, UTC."""

    start: int
    end: int


@commands.command(cls=Command)
def simulate(  # noqa: PLR0913, PLR0917  # one argument an option
    lockers: Lockers = 200,
    days: Annotated[
        float | None,
        typer.Option(min=0.01, max=10_000, metavar="N", help=f"Days to simulate. [default: {DAYS}]"),
    ] = None,
    seed: Seed = 1,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the simulation starts: a date, or RFC 3339 with an offset. "
            f"[default: {START} for --out, else --days before now]",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the events to a new file; `-` is standard output.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a new log, whose events were recorded when they arrived: a network with a past."
        ),
    ] = None,
    post: Annotated[str | None, typer.Option(metavar="URL", help="Post the events to the server at this URL.")] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="With --post: N times real time, or `max`: as fast as the server allows. [default: max]"
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", metavar=FLAG, help="With --post: the days end now, and new events follow in real time."),
    ] = False,
) -> None:
    """Simulate the life of a locker network, as events in the order of their arrival at a server.

    Couriers come in the morning and customers in the evening. Parcels lie and expire, doors break in batches, lockers
    go offline and report everything later. Some events are sent twice, and a few are refused.

    `lockstream import FILE` imports the written events. A server with the log of `--log` shows the past of the
    network. Post events only to a server whose log is for tests, because no event is ever removed from a log.
    """
    from lockstream.presentation.cli.simulate import post_events, write_events, write_log  # noqa: PLC0415
    from lockstream.simulator.simulation import Simulation  # noqa: PLC0415

    if sum(place is not None for place in (out, log, post)) != 1:
        raise typer.BadParameter("Events go to a file, a log or a server. Give one of --out, --log and --post.")
    if post is None and (speed is not None or live):
        raise typer.BadParameter("A file has no pace. Leave out --speed and --live, or give --post instead.")
    if live and speed is not None:
        raise typer.BadParameter("--live goes on in real time. Leave out --speed.")
    factor = _speed(speed)
    period = _period(start, days, ends_now=out is None, is_live=live)
    simulation = Simulation(lockers, seed, period.start)
    if post is not None:
        post_events(simulation, period.end, post, factor, is_live=live)
    elif log is not None:
        write_log(simulation, period.end, log)
    else:
        write_events(simulation, period.end, None if out == "-" else Path(str(out)))


@commands.command(cls=Command)
@with_address
def demo(
    settings: Settings,
    lockers: Lockers = 200,
    days: Annotated[
        float, typer.Option(min=0.01, max=10_000, metavar="N", help="Days before now that are simulated at once.")
    ] = DAYS,
    seed: Seed = 1,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", metavar=FLAG, help="Do not open the console in a browser.")
    ] = False,
) -> None:
    """Show Lockstream with a simulated month, and new events in real time. Ctrl-C ends the demo and removes its log.

    The server has a temporary log. Of all settings, only those about its address count.
    """
    from lockstream.presentation.cli.demo import run  # noqa: PLC0415

    run(settings, lockers, days, seed, opens_browser=not no_browser)


def _speed(text: str | None) -> float | None:
    """Return the speed of a simulation as a multiple of real time, or None for as fast as possible."""
    if text in (None, "max"):
        return None
    try:
        speed = float(str(text))
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise typer.BadParameter(f"--speed is {text!r}, and no speed. Give a number above 0, such as 60, or `max`.")
    return speed


def _period(start: str | None, days: float | None, *, ends_now: bool, is_live: bool) -> Period:
    now = int(time.time())
    length = round((DAYS if days is None else days) * DAY)
    if start is None and ends_now:
        return Period(now - length, now)
    begin = _seconds(START if start is None else start)
    if not is_live:
        return Period(begin, begin + length)
    if days is not None:
        raise typer.BadParameter(
            "With --live, the days from --start to now are simulated. Leave out --days or --start."
        )
    if begin >= now:
        raise typer.BadParameter(f"--start is {start!r}, which is not in the past. With --live, the days end now.")
    return Period(begin, now)


def _seconds(text: str) -> int:
    """Return a date, or a time with an offset, in seconds since 1970-01-01, UTC. A date begins at midnight, UTC."""
    try:
        moment = datetime.fromisoformat(text)
        if len(text) == len(START):
            moment = moment.replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year not in YEARS:
        raise typer.BadParameter(
            f"--start is {text!r}, which is not a time from {YEARS[0]} to {YEARS[-1]}. Write {START} or "
            f"{START}T08:00:00Z."
        )
    return int(moment.timestamp())
