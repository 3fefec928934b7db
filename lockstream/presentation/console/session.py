"""The session: a cookie that holds the API key of the person who is signed in.

The key itself is the session, so every node knows it, a restart ends nothing, and a revoked key is signed out at once
(docs/decisions/0029). The cookie is sent to the console alone, and no script can read it.
"""

import re

from fastapi import Request, Response
from starlette.types import Scope

from lockstream.core.errors import NotAllowed
from lockstream.presentation.http.access.callers import caller_of, set_caller
from lockstream.presentation.http.access.gate import AUTHORIZATION, identify
from lockstream.presentation.http.proxies import remote_address
from lockstream.presentation.http.routes.operations import CONSOLE_PATH
from lockstream.services.running.access.access import Access

COOKIE = "lockstream_key"
"""Name of the cookie at an address without a port. Otherwise the port follows, because a browser keeps one set of
cookies for all ports of a host."""

TWO_SESSIONS = "two_sessions"
"""Says why a person is signed out: the browser has sent several cookies of this name, with different keys."""

OPERATION = "console"
"""Names the requests of the console in the audit log."""

ORIGIN_REFUSED = "origin_refused"

_PORT = re.compile("[0-9]{1,5}")


def cookie_name(request: Request) -> str:
    """Return the name of the cookie of a session, with the port at which the browser has found the console."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"{COOKIE}_{port}" if _PORT.fullmatch(port) else COOKIE


def key_of(request: Request) -> str | None:
    """Return the API key of the session, or None if nobody is signed in.

    Another site under the same domain can add a cookie of the same name, to have a person work in the session of
    somebody else. Of several keys, none counts.
    """
    keys = _keys_of(request)
    return keys.pop() if len(keys) == 1 else None


def has_two_sessions(request: Request) -> bool:
    """Return whether a browser has sent several keys, of which none counts."""
    return len(_keys_of(request)) > 1


def _keys_of(request: Request) -> set[str]:
    """Return the keys of all cookies of a session. Cookies of other names may have any form."""
    wanted = cookie_name(request)
    pairs = (pair.partition("=") for value in request.headers.getlist("cookie") for pair in value.split(";"))
    return {value.strip() for name, _, value in pairs if name.strip() == wanted}


def identified(access: Access, scope: Scope, key: str | None) -> Scope:
    """Return the scope of a request with its caller. It has the key as a header, as a request of the API has.

    Raises:
        NotAuthenticated, NotAllowed, TooManyRequests: as `identify`.
    """
    without = [(name, value) for name, value in scope["headers"] if name not in (AUTHORIZATION, b"cookie")]
    headers = without if key is None else [*without, (AUTHORIZATION, b"Bearer " + key.encode())]
    found = {**scope, "headers": headers}
    identify(access, found, OPERATION)
    set_caller(scope, caller_of(found))  # the access log and traces name the key of the request as it came
    return found


def begin_session(response: Response, request: Request, key: str) -> None:
    """Sign in: have the browser keep the key until it is closed."""
    response.set_cookie(
        cookie_name(request),
        key,
        path=cookie_path(request),
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def end_session(response: Response, request: Request) -> None:
    """Sign out: have the browser forget the key."""
    response.delete_cookie(
        cookie_name(request), path=cookie_path(request), secure=_is_secure(request), httponly=True, samesite="strict"
    )


def require_same_origin(access: Access, request: Request) -> None:
    """Require that a request that changes something was sent by a page of this console. The audit log has refusals.

    Raises:
        NotAllowed: a page of another site has sent the request, or a program that is not a browser.
    """
    site, origin, host = (request.headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
    if site == "same-origin" and origin in {f"http://{host}", f"https://{host}"}:
        return
    if site is None and origin == f"http://{host}" and not _is_secure(request):
        return  # a browser sends no Sec-Fetch-Site to an address without TLS that is not of this machine
    access.note_refusal("", remote_address(request.scope), OPERATION, ORIGIN_REFUSED)
    raise NotAllowed(
        "The request does not come from a page of this console. Open the console, and send the form there. Programs "
        "use the HTTP API with an API key.",
        ORIGIN_REFUSED,
    )


def cookie_path(request: Request) -> str:
    """Return the path below which browsers send the cookie of a session."""
    return f"{request.scope.get('root_path', '')}{CONSOLE_PATH}"


def _is_secure(request: Request) -> bool:
    return bool(request.scope["scheme"] == "https")
