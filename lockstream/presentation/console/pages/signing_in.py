"""Signing in with an API key, and signing out."""

import asyncio
from urllib.parse import parse_qsl, unquote

from fastapi import Request, Response

from lockstream.core.errors import NotAuthenticated
from lockstream.presentation.console.api import Application
from lockstream.presentation.console.forms import form_of
from lockstream.presentation.console.pages import find_page
from lockstream.presentation.console.pages.shared import Page, query_of, see_other
from lockstream.presentation.console.rendering import Rendering
from lockstream.presentation.console.session import TWO_SESSIONS, begin_session, end_session, identified
from lockstream.services.running.access.live_keys import KEY_EXPIRED, KEY_REVOKED

_REASONS = {
    KEY_REVOKED: "You were signed out, because the key was revoked. Sign in with another key.",
    TWO_SESSIONS: "Your browser has sent two sessions with different keys, so neither counts. Another program of this "
    "host or its domain has set a cookie as well. Remove the cookies of this site in your browser, then sign in.",
    KEY_EXPIRED: "You were signed out, because the key has expired. Sign in with another key.",
}
_SIGNED_OUT = "You were signed out, because the key is not accepted. Sign in with another key."


def sign_in_page(request: Request, problem: str = "", next_page: str = "", status: int = 200) -> Page:
    """Return the page that asks for a key."""
    query = query_of(request.scope)
    if why := query.get("why"):
        problem = _REASONS.get(why, _SIGNED_OUT)
    values = {"problem": problem, "next": next_page or query.get("next", "")}
    return Page("sign_in.html", "Sign in", values, status=status)


async def sign_in(application: Application, request: Request, rendering: Rendering) -> Response:
    """Sign a person in, and lead to the page that was asked for, or say why the key is not accepted."""
    form = await form_of(request)
    key, wanted = form.get("key", [""])[0].strip(), form.get("next", [""])[0]
    if application.lockstream.access.is_open:
        return _to_page(request, wanted)
    try:
        if not key.isascii() or any(character.isspace() for character in key):
            key = "?"  # no key has such characters, and no header may
        identified(application.lockstream.access, request.scope, key)
    except NotAuthenticated as refused:
        page = sign_in_page(request, str(refused), wanted, 401)
        html = await asyncio.to_thread(rendering.html, request, page, None)
        return Response(html, 401, media_type="text/html; charset=utf-8")
    response = _to_page(request, wanted)
    begin_session(response, request, key)
    return response


def sign_out(request: Request) -> Response:
    """Sign a person out."""
    response = see_other(request.scope, "/sign-in")
    end_session(response, request)
    return response


def _to_page(request: Request, wanted: str) -> Response:
    """Return a response that leads to the page that was asked for, or to the first one if there is no such page.

    A link to the sign-in page may come from anybody, so `wanted` leads to no other place.
    """
    path, _, query = wanted.partition("?")
    if find_page(unquote(path)) is None:
        return see_other(request.scope, "")
    return see_other(request.scope, path, **dict(parse_qsl(query)))
