"""Parts of messages: numbers with nouns and units, verbs and pronouns that agree, and values that a client has sent."""

import re

SHOWN_CHARACTERS = 80
"""Characters of a wrong value that a message repeats."""

_UNITS = "B", "KiB", "MiB", "GiB", "TiB"

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""A character that a terminal could obey, or that ends a line."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 event" or "1,200 events". Without `plural`, an s makes the plural."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def size(count: int) -> str:
    """Return a number of bytes with its unit, such as "1.5 GiB"."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count:,} B" if unit == 0 else f"{value:,.1f} {_UNITS[unit]}"


def agreeing(number: int, singular: str, plural: str) -> str:
    """Return the verb or pronoun that agrees with a number, such as "was" or "were"."""
    return singular if number == 1 else plural


def quoted(text: str) -> str:
    """Return a value in quotation marks, and only the beginning of a long one."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")


def printable(text: str) -> str:
    """Return a text on one line, with control characters escaped as in JSON."""
    return _CONTROL_CHARACTER.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
