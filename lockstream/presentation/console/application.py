"""The console as an ASGI application: it finds the page of a request, and answers with HTML."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.errors import (
    KeysDamaged,
    KeysMissing,
    NotAllowed,
    NotAuthenticated,
    StartingUp,
    StoreUnavailable,
)
from lockstream.presentation.console import files
from lockstream.presentation.console.api import Api, ApiRefused, Application
from lockstream.presentation.console.csv_files import send_csv
from lockstream.presentation.console.forms import MalformedForm, form_of
from lockstream.presentation.console.pages import find_page
from lockstream.presentation.console.pages.shared import Page, PageRequest, see_other
from lockstream.presentation.console.pages.signing_in import sign_in, sign_in_page, sign_out
from lockstream.presentation.console.rendering import Rendering
from lockstream.presentation.console.session import (
    OPERATION,
    TWO_SESSIONS,
    end_session,
    has_two_sessions,
    identified,
    key_of,
    require_same_origin,
)
from lockstream.presentation.http.access.callers import caller_of
from lockstream.presentation.http.access.gate import KEY_IN_URL, id_of_key_in_url
from lockstream.presentation.http.access.rate_limits import take_request
from lockstream.presentation.http.errors import RETRY_AFTER_SECONDS, error_response
from lockstream.presentation.http.proxies import remote_address
from lockstream.presentation.http.routes.operations import CONSOLE_PATH
from lockstream.presentation.http.telemetry.request_ids import REQUEST_ID, request_id_of
from lockstream.schemas.outcomes import INTERNAL_ERROR
from lockstream.services.running.access.rate_limits import TooManyRequests

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy of every page: all that it loads is a file of this server, and nothing is inline."""

PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # without a referrer, a browser sends forms with the origin "null"
    "X-Content-Type-Options": "nosniff",
    "Vary": "Cookie",
}

SIGN_IN, SIGN_OUT, API, STATIC = "/sign-in", "/sign-out", "/api/", "/static/"
AS_CSV = "/csv/"
"""Begins the address of a list as CSV. A link of a page cannot name the media type."""

logger = logging.getLogger(__name__)


class Refused(Exception):
    """Raised when the console itself refuses a request, with a status and a sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers


class Console:
    """The pages over one HTTP application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._rendering = Rendering(application.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = _path_in_console(scope)
        if path.startswith(STATIC) and request.method == "GET":
            response: Response = files.response_to(request, path.removeprefix(STATIC), self._application.settings)
        elif path.startswith(API):
            await self._forward(request, path.removeprefix(API), send, self._application.forward)
            return
        elif path.startswith(AS_CSV):
            await self._forward(request, path.removeprefix(AS_CSV), send, partial(send_csv, self._application))
            return
        else:
            response = await self._page(request, path)
            response.headers.update(PAGE_HEADERS)
        await response(scope, receive, send)

    async def _forward(self, request: Request, path: str, send: Send, answer: ASGIApp) -> None:
        """Answer a read of the API by `answer`. The scripts and links of a page send it with the session."""
        scope = request.scope
        try:
            if request.method != "GET":
                raise HTTPException(405, headers={"Allow": "GET, HEAD"})
            scope = self._identified(request)
        except Exception as error:  # noqa: BLE001  # each has its response
            self._note(request, error)
            await error_response(request, error)(scope, request.receive, send)
            return
        scope = {**scope, "path": f"{scope.get('root_path', '')}/{path}"}
        await answer(scope, request.receive, send)

    async def _page(self, request: Request, path: str) -> Response:
        """Return the response of a page, or the page of an error."""
        try:
            return await self._respond(request, path)
        except NotAuthenticated as refused:
            if refused.code == KEY_IN_URL:
                return await self._error(request, 401, str(refused))
            return self._signed_out(request, path, refused)
        except Refused as refused:
            return await self._error(request, refused.status, str(refused), refused.headers)
        except (ApiRefused, MalformedForm) as refused:
            return await self._error(request, refused.status, str(refused))
        except NotAllowed as refused:
            return await self._error(request, 403, str(refused))
        except StartingUp as error:
            return await self._error(request, 503, f"{error} {_RELOADS}", _STARTING)
        except (KeysDamaged, KeysMissing, StoreUnavailable) as error:
            return await self._error(request, 503, str(error), {"Retry-After": str(RETRY_AFTER_SECONDS)})
        except TooManyRequests as refused:
            self._note(request, refused)
            return await self._error(request, 429, str(refused), {"Retry-After": str(refused.retry_after)})
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # each has its response
            return await self._failed(request, error)

    async def _failed(self, request: Request, error: Exception) -> Response:
        """Log an internal error, and return a page with the request id, under which the log has it."""
        request_id, is_new = request_id_of(request.scope)
        logger.error(
            "%s %s failed",
            request.method,
            request.url.path,
            exc_info=error,
            extra={"event_name": "request_failed", "request_id": request_id},
        )
        detail = f"{INTERNAL_ERROR} The id of this request is {request_id}."
        return await self._error(request, 500, detail, {REQUEST_ID: request_id} if is_new else {})

    async def _respond(self, request: Request, path: str) -> Response:
        is_post = request.method == "POST"
        if not is_post and request.method != "GET":
            raise Refused(405, f"The method {request.method} is not allowed here. Use a browser.", _ALLOWED)
        access = self._application.lockstream.access
        if is_post:
            require_same_origin(access, request)
        if id_of_key_in_url(request.scope):
            identified(access, request.scope, None)
        if path == SIGN_IN:
            if is_post:
                return await sign_in(self._application, request, self._rendering)
            return await self._rendered(request, sign_in_page(request))
        if path == SIGN_OUT and is_post:
            return sign_out(request)
        if not access.is_open and key_of(request) is None:
            return _to_sign_in(request, path, TWO_SESSIONS if has_two_sessions(request) else "")
        return await self._answer(request, path, is_post=is_post)

    async def _answer(self, request: Request, path: str, *, is_post: bool) -> Response:
        """Return the response of a page to a person who is signed in."""
        found = find_page(path)
        scope = self._identified(request)
        parameters, settings = found.parameters if found else {}, self._application.settings
        wanted = PageRequest(Api(self._application, scope), scope, parameters, settings)
        request.scope[_WANTED] = wanted  # so that an error has the navigation of the person
        if found is None:
            raise Refused(404, "There is no such page. The search above finds lockers, parcels and events by their id.")
        handler = found.page.act if is_post else found.page.show
        if handler is None:
            raise Refused(405, "This page has no form. Open it in a browser.", _ALLOWED)
        if is_post:
            wanted.form = await form_of(request)
        result = await handler(wanted)
        if isinstance(result, Response):
            return result
        return await self._rendered(request, result, wanted)

    def _identified(self, request: Request) -> Scope:
        """Return the scope of a request with its caller, which has one request less from now on."""
        key = key_of(request)
        scope = identified(self._application.lockstream.access, request.scope, key)
        if (caller := caller_of(scope)).key_id:
            take_request(self._application.rate_limits, caller)
        return scope

    def _note(self, request: Request, error: Exception) -> None:
        """Note a request beyond a rate limit for the audit log. Other refusals are noted where they are decided."""
        if isinstance(error, TooManyRequests):
            scope = request.scope
            access = self._application.lockstream.access
            access.note_refusal(caller_of(scope).key_id, remote_address(scope), OPERATION, error.code)

    async def _rendered(self, request: Request, page: Page, wanted: PageRequest | None = None) -> Response:
        """Return a page as HTML. It is made in a thread, because a long one takes milliseconds."""
        html = await asyncio.to_thread(self._rendering.html, request, page, wanted)
        return Response(html, page.status, media_type="text/html; charset=utf-8")

    async def _error(
        self, request: Request, status: int, detail: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Response:
        title = _TITLES.get(status, "Not possible")
        page = Page("error.html", title, {"detail": detail, "code": status}, status=status)
        response = await self._rendered(request, page, request.scope.get(_WANTED))
        response.headers.update(headers)
        return response

    def _signed_out(self, request: Request, path: str, refused: NotAuthenticated) -> Response:
        """Return the way to the sign-in page of a person whose key is not accepted any more."""
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"detail": str(refused), "code": refused.code}, 401)
        response = _to_sign_in(request, path, refused.code)
        end_session(response, request)
        return response


_WANTED = "lockstream.wanted_page"

_ALLOWED = {"Allow": "GET, HEAD"}

_RELOADS = "This page reloads itself."

_STARTING = {"Retry-After": str(RETRY_AFTER_SECONDS), "Refresh": "2"}
"""Headers of each page while the server starts. Browsers take `Refresh` for a reload, also without scripts."""

_TITLES = {
    401: "A key in the address",
    403: "Not allowed",
    404: "Not found",
    422: "Not understood",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available now",
}


def _to_sign_in(request: Request, path: str, code: str = "") -> Response:
    query = request.scope["query_string"].decode("latin-1")
    wanted = f"{quote(path)}?{query}" if query else quote(path)
    return see_other(
        request.scope, SIGN_IN, next=wanted if request.method == "GET" and wanted else None, why=code or None
    )


def _path_in_console(scope: Scope) -> str:
    """Return the path of a request behind that of the console."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    path = path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path
    return path.removeprefix(CONSOLE_PATH).rstrip("/")
