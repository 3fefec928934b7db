"""Variables of the environment that look like settings and are none: most are misspelled."""

from collections.abc import Iterable
from difflib import get_close_matches

from lockstream.infrastructure.settings import PREFIX, environment_names


def unknown_settings(variables: Iterable[str]) -> dict[str, str | None]:
    """Those of `variables` that begin as settings do and are none, each with the setting closest to it, if any is.

    What all settings begin with is left out of the comparison: it would make each of them close to any other.
    """
    settings = {name.removeprefix(PREFIX): name for name in environment_names().values()}
    unknown = [name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in settings.values()]
    return {name: _closest(name.upper().removeprefix(PREFIX), settings) for name in sorted(unknown)}


def _closest(name: str, settings: dict[str, str]) -> str | None:
    return next((settings[close] for close in get_close_matches(name, settings, n=1)), None)
