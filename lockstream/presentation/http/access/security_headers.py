"""Security headers, which restrict a browser in the use of a response.

A successful response of an operation bears `nosniff` alone: browsers do not render JSON, CSV or streams. Errors, pages
and files bear all security headers. A response to a request that needed a key bears `no-store`.
"""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import Response
from starlette.types import Message, Scope, Send

type Header = tuple[bytes, bytes]

FIRST_ERROR = 400
HSTS_SECONDS = 31_536_000

_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_CACHE_CONTROL = b"cache-control"
_NO_STORE = (_CACHE_CONTROL, b"no-store")
_PAGE: list[Header] = [
    _NO_SNIFF,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_HSTS = (b"strict-transport-security", b"max-age=%d" % HSTS_SECONDS)
"""Sent with TLS only, and not for `localhost`: browsers then refuse plain HTTP on every port of the host."""

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def secure(response: Response, scope: Scope, *, needs_key: bool) -> None:
    """Add the headers of an operation's response."""
    headers = response.raw_headers
    if needs_key:
        for name, _ in headers:  # faster than `any` with a generator
            if name == _CACHE_CONTROL:
                break
        else:
            headers.append(_NO_STORE)
    if response.status_code < FIRST_ERROR:
        headers.append(_NO_SNIFF)
    else:
        headers += page_headers(scope)


def send_with_security_headers(send: Send, scope: Scope) -> Send:
    """Return a `send` that adds the headers of a page, except headers that the response already has."""

    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            added = [header for header in page_headers(scope) if header[0] not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_secured


def page_headers(scope: Scope) -> list[Header]:
    """Return the headers of a page, a file or an error."""
    if scope.get("scheme") != "https" or _is_localhost(scope):
        return _PAGE
    return [*_PAGE, _HSTS]


def policy_of_page(html: str) -> str:
    """Return the content security policy of a page that has inline scripts, and loads all other files from this server.

    An inline script is allowed by its hash. Swagger UI has icons in `data:` URLs.
    """
    hashes = [b64encode(sha256(script.encode()).digest()).decode() for script in _INLINE_SCRIPT.findall(html)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _is_localhost(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return not hosts or hosts[0].partition(b":")[0] == b"localhost"
