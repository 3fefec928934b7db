"""The caller of a request: the access check puts it into the scope, and operations read it there."""

from starlette.types import Scope

from lockstream.core.entities.access import ANYONE, Caller

_KEY = "lockstream.caller"


def set_caller(scope: Scope, caller: Caller) -> None:
    """Note the caller of a request."""
    scope[_KEY] = caller


def caller_of(scope: Scope) -> Caller:
    """Return the caller of a request, which is `ANYONE` if the server runs without keys."""
    caller: Caller = scope.get(_KEY, ANYONE)
    return caller
