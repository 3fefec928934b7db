"""Limits of an event's fields: identifiers, UUIDs, timestamps and severities (docs/rules.md, "An event")."""

IDENTIFIER_MAX = 128
"""Longest identifier, in characters."""

IDENTIFIER = r"[^\x00-\x1f\x7f-\x9f/]+"
"""Regular expression of an identifier: no control characters (Unicode category Cc) and no `/`."""

UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
"""Regular expression of a UUID in its textual form (RFC 9562, section 4), in either case."""

TIMESTAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
"""Regular expression of a date-time with an offset (RFC 3339, section 5.6)."""

SEVERITY_MAX = 2**31 - 1
"""Highest severity of a fault: it fits a signed integer of 32 bits."""
