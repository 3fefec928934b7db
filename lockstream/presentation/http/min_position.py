"""The position that a read reflects, and the min position that a client demands.

Reads may go to a read replica, which lags behind. A client that demands the position of its own event reads its write.
"""

import re

from starlette.requests import Request

POSITION = "Lockstream-Position"
MIN_POSITION = "Lockstream-Min-Position"

MAX_POSITION = 10**18 - 1
"""Highest position in a log: a position has at most 18 digits in a log line."""

_HEADER = MIN_POSITION.lower().encode()
_POSITION = re.compile(rb"[0-9]{1,18}")


class InvalidMinPosition(Exception):
    """Raised when the header is present and is not a position."""

    def __init__(self, value: bytes) -> None:
        super().__init__(
            f"{MIN_POSITION} is {value.decode('latin-1')!r}, which is not a position. Send a whole number from 0 on."
        )


def min_position_of(request: Request) -> int:
    """Return the position that the response must reflect, or 0 if the request demands none.

    Raises:
        InvalidMinPosition: the header is present and is not a position.
    """
    for name, value in request.scope["headers"]:
        if name == _HEADER:
            if not _POSITION.fullmatch(value):
                raise InvalidMinPosition(value)
            return int(value)
    return 0
