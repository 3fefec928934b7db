"""The client of a server's quarantine. Each change is requested once, and each failure becomes one error text."""

import http.client
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self
from urllib.parse import urlencode

import msgspec

from lockstream.core.errors import QuarantineRequestFailed
from lockstream.core.wording import printable
from lockstream.presentation.cli.follow import unexpected_response
from lockstream.presentation.cli.quarantine.answers import (
    Entry,
    MalformedPage,
    Page,
    Recorded,
    Refused,
    Report,
)
from lockstream.simulator.client import access_refusal, connection_to, key_headers, reason_of

PAGE_ITEMS = 1_000
"""Most items that a server lists in one response."""

TIMEOUT_SECONDS = 600
"""Timeout of a response. A server may need minutes to decide many events afresh."""

NO_ROUTE = "Not Found"
"""Error text of a server without the requested path: another program, or a Lockstream without a quarantine."""

_REFUSALS = frozenset((http.client.CONFLICT, http.client.UNPROCESSABLE_ENTITY))


class _Answer(NamedTuple):
    """Status and body of a response."""

    status: int
    content: bytes


class QuarantineClient:
    """A connection to a server with a quarantine. Use it in a `with` statement, which closes it.

    Each method raises QuarantineRequestFailed if the server cannot be reached, refuses the request, or is not
    Lockstream.
    """

    def __init__(self, url: str) -> None:
        """Prepare a connection, which the first request opens.

        Raises:
            QuarantineRequestFailed: no request can be sent to this URL.
        """
        try:
            self._connection, self._path = connection_to(url, TIMEOUT_SECONDS)
            self._headers = {"Accept": "application/json", **key_headers()}
        except ValueError as error:
            raise QuarantineRequestFailed(str(error)) from error
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def entries(self, filters: Mapping[str, str], limit: int | None) -> Iterator[Page]:
        """Yield the pages of all entries that pass the filters, or of the first `limit`."""
        return self._pages("", Page, filters, limit)

    def malformed(self, limit: int | None) -> Iterator[MalformedPage]:
        """Yield the pages of all malformed bodies, or of the newest `limit`."""
        return self._pages("/malformed", MalformedPage, {}, limit)

    def entry(self, event_id: str) -> Entry:
        """Return the entry of an event."""
        return self._decoded(self._send("GET", f"/{event_id}"), Entry)

    def resubmit(self, event_id: str) -> Recorded | Refused:
        """Have the event of an entry decided afresh, and return its outcome."""
        answer = self._send("POST", f"/{event_id}/resubmit")
        if answer.status == http.client.ACCEPTED:
            answer = answer._replace(status=http.client.OK)
        if answer.status in _REFUSALS:
            refused = _refused(answer)
            if refused and isinstance(refused.detail, list):  # this version of the server cannot read the event
                return msgspec.structs.replace(refused, code="malformed")
            if refused and refused.code:
                return refused
        return self._decoded(answer, Recorded)

    def resubmit_all(self, wanted: Mapping[str, str | int]) -> Report:
        """Have the events that pass the filters in `wanted` decided afresh, and return their outcomes."""
        return self._decoded(self._send("POST", "/resubmit", wanted), Report)

    def discard(self, event_id: str, reason: str) -> Entry:
        """Have an event discarded, and return its entry."""
        return self._decoded(self._send("POST", f"/{event_id}/discard", {"reason": reason}), Entry)

    def _pages[PageT: (Page, MalformedPage)](
        self, path: str, page_class: type[PageT], filters: Mapping[str, str], limit: int | None
    ) -> Iterator[PageT]:
        after, rest = None, limit
        while True:
            size = PAGE_ITEMS if rest is None else min(PAGE_ITEMS, rest)
            query = {**filters, "limit": str(size)} | ({"after": after} if after else {})
            answer = self._send("GET", f"{path}?{urlencode(query)}")
            page = self._decoded(answer, page_class)
            if page.next is not None and (not page.items or page.next == after):
                raise self._broken(answer)
            yield page
            after, rest = page.next, None if rest is None else rest - len(page.items)
            if after is None or (rest is not None and rest <= 0):
                return

    def _send(self, method: str, path: str, body: Mapping[str, str | int] | None = None) -> _Answer:
        """Send a request, and return the response. A read on an older connection is sent again if that has closed."""
        content = None if body is None else msgspec.json.encode(body)
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        is_older = self._connection.sock is not None
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except OSError as error:
            raise QuarantineRequestFailed(
                f"{self._url} cannot be reached ({reason_of(error)}). Start a server there, or name another one."
            ) from error
        try:
            self._connection.request(method, f"{self._path}/quarantine{path}", content, headers)
            response = self._connection.getresponse()
            return _Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if is_older and method == "GET":  # a server closes a connection that was silent for long
                return self._send(method, path, body)
            done = "" if method == "GET" else " The request may have been carried out."
            raise QuarantineRequestFailed(
                f"{self._url} did not answer ({printable(reason_of(error))}).{done} Check that it is a Lockstream "
                "server, and run the command again."
            ) from error

    def _decoded[BodyT](self, answer: _Answer, body_class: type[BodyT]) -> BodyT:
        """Return the body of a successful response."""
        if refusal := access_refusal(self._url, *answer):
            raise QuarantineRequestFailed(printable(refusal))
        if answer.status != http.client.OK:
            refused = _refused(answer)
            if refused is None or refused.detail == NO_ROUTE:
                raise self._broken(answer)
            raise QuarantineRequestFailed(printable(refused.text))
        try:
            return msgspec.json.decode(answer.content, type=body_class)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._broken(answer) from error

    def _broken(self, answer: _Answer) -> QuarantineRequestFailed:
        return QuarantineRequestFailed(unexpected_response(self._url, *answer))


def _refused(answer: _Answer) -> Refused | None:
    """Return the body of a refused request, or None if the body is not from Lockstream."""
    try:
        return msgspec.json.decode(answer.content, type=Refused)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
