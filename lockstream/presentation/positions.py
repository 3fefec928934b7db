"""Which position of the log an answer reflects, and which one it must.

Reads may go to a copy of the database, which is behind at times. Who has just been told a position asks for it.
"""

import re
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

POSITION = "Lockstream-Position"
MIN_POSITION = "Lockstream-Min-Position"

MAX_POSITION = 10**18 - 1
"""No log is longer: its lines have no room for more digits."""

_NAME = MIN_POSITION.lower().encode()
_FORM = re.compile(rb"[0-9]{1,18}")


class NoPosition(Exception):
    """The header names no position."""

    def __init__(self, value: bytes) -> None:
        super().__init__(
            f"{MIN_POSITION} is a position of the log, a whole number from 0 on, not {value.decode('latin-1')!r}."
        )


def least_position(scope: Scope) -> int:
    """The position that a request's answer must reflect.

    Raises:
        NoPosition: the header is there, and is none.
    """
    for name, value in scope["headers"]:
        if name == _NAME:
            if not _FORM.fullmatch(value):
                raise NoPosition(value)
            return int(value)
    return 0


async def _of_request(request: Request) -> int:
    return least_position(request.scope)


LeastPosition = Annotated[int, Depends(_of_request)]
