"""The system as the caller of a request sees it."""

from fastapi import Request

from lockstream.presentation.http.access.callers import caller_of
from lockstream.services.running.lockstream import Lockstream


def lockstream_of(request: Request) -> Lockstream:
    """Return the running system that answers a request, limited to the lockers of the caller.

    Every operation gets the system here, so that none shows a caller more than its key allows. Exceptions
    are those of `Application.lockstream`.
    """
    lockstream: Lockstream = request.app.lockstream
    return lockstream.view(caller_of(request.scope))
