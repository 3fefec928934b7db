"""Limits of an event's fields: identifiers, UUIDs, timestamps and severities (docs/rules.md, "An event")."""

import re

IDENTIFIER_MAX = 128
"""Longest identifier, in characters."""

IDENTIFIER = r"[^\x00-\x1f\x7f-\x9f/]+"
"""Regular expression of an identifier: no control characters (Unicode category Cc) and no `/`."""

IDENTIFIER_FORM = f"1 to {IDENTIFIER_MAX} characters, without control characters and /"
"""Form of an identifier, as an error names it."""

UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
"""Regular expression of a UUID in its textual form (RFC 9562, section 4), in either case."""

TIMESTAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
"""Regular expression of a date-time with an offset (RFC 3339, section 5.6)."""

KEY_ID = r"[0-9A-Za-z_-]{1,64}"
"""Regular expression of the public part of an API key. Keys of this version have 8 characters."""

SEVERITY_MAX = 2**31 - 1
"""Highest severity of a fault: it fits a signed integer of 32 bits."""

_IDENTIFIER = re.compile(IDENTIFIER)
_UUID = re.compile(UUID)
_LOWEST_UUID, _HIGHEST_UUID = ("-".join(digit * count for count in (8, 4, 4, 4, 12)) for digit in "0f")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def is_identifier(text: str) -> bool:
    """Return whether a text can be an identifier. UTF-8 must be able to encode the text, so surrogates are refused."""
    return len(text) <= IDENTIFIER_MAX and _IDENTIFIER.fullmatch(text) is not None and not _SURROGATE.search(text)


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID in its textual form, in either case."""
    return _UUID.fullmatch(text) is not None


def uuid_prefix(text: str) -> str | None:
    """Return a text in lower case if a UUID can begin with it, else None."""
    return text.lower() if _UUID.fullmatch(text + _LOWEST_UUID[len(text) :]) else None


def uuid_range(prefix: str) -> tuple[str, str]:
    """Return the lowest and the highest UUID that begin with `prefix`, a result of `uuid_prefix`."""
    return prefix + _LOWEST_UUID[len(prefix) :], prefix + _HIGHEST_UUID[len(prefix) :]
