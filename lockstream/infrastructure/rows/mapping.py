"""Convert rows of a database to row classes, and its errors to sentences."""

from typing import Any

import msgspec

from lockstream.core.entities.state import Row
from lockstream.core.errors import StoreUnavailable

VALUE_ERRORS = (msgspec.MsgspecError, LookupError, TypeError, ValueError)
"""Errors of a value that does not fit its column, as in a damaged database."""


def to_row[RowT: Row](row_class: type[RowT], found: tuple[Any, ...]) -> RowT:
    """Return the driver's tuple as a row. A value that does not fit its column raises one of VALUE_ERRORS."""
    if len(found) != len(row_class.__struct_fields__):
        raise ValueError("A row has too few columns, or too many.")
    return msgspec.convert(tuple(found), row_class)


def reason(error: Exception) -> str:
    """Return the message of the database's error, without the statement that failed."""
    return str(getattr(error, "orig", error))


def projection_unavailable(verb: str, error: Exception) -> StoreUnavailable:
    """Return the exception to raise if the projection cannot be used. `verb` is a participle such as "read"."""
    return StoreUnavailable(
        f"The projection could not be {verb} ({reason(error)}). The log is intact. Make sure that the disk has free "
        "space and works, then restart; if that does not help, run `lockstream rebuild`."
    )
