"""Durations as people write them: `90d`, `24h`, `30m` or `10s`."""

import re

import typer

from lockstream.core.wording import quoted

_UNITS = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
_FORM = re.compile("(0|[1-9][0-9]{0,9})([smhd])")


def seconds_of(option: str, text: str) -> int:
    """Return a duration in seconds. Any other text is a usage error."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{quoted(text)} is not a duration. Give a whole number with s, m, h or d, such as 90d or 24h.",
            param_hint=option,
        )
    return int(found[1]) * _UNITS[found[2]]
