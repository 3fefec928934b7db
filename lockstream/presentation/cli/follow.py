"""Follow the feed of a server: print each event once it is accepted, and continue after a broken connection."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from urllib.parse import urlencode

import msgspec

from lockstream.core.errors import FollowFailed
from lockstream.core.wording import printable, quoted
from lockstream.presentation.cli.output import info, standard_output
from lockstream.simulator.client import access_refusal, connection_to, key_headers, reason_of

WAIT_SECONDS = 30
"""Time that the server waits for an event before it answers."""

TIMEOUT_SECONDS = WAIT_SECONDS + 30
RETRY_SECONDS = 1.0
"""Time before a failed request is sent again."""

PAGE_EVENTS = 1_000

_RETRIED = frozenset((408, 429, 502, 503, 504))
"""Statuses after which a later request may succeed. 502 and 504 come from a proxy."""


def follow(url: str, after: str, filters: Mapping[str, str]) -> None:
    """Print the events of the server at `url` that come after `after`, one a line, until Ctrl-C.

    Raises:
        FollowFailed: the server cannot be reached at first, or refuses the request.
    """
    with closing(Follower(url, after, filters)) as follower, standard_output() as output:
        try:
            for lines in follower.pages():
                output.write(lines)
                output.flush()
        except KeyboardInterrupt:
            info(f"Ended. To go on, repeat the command with `--after {follower.after}`.")


class Follower:
    """A reader of the feed over HTTP. After a failure, it requests the same page again."""

    def __init__(
        self, url: str, after: str, filters: Mapping[str, str], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`after` is a position or `head`; `filters` are the further parameters of `GET /events`.

        Raises:
            FollowFailed: no request can be sent to this URL.
        """
        try:
            self._connection, self._path = connection_to(url, TIMEOUT_SECONDS)
            self._headers = {"Accept": "application/x-ndjson", **key_headers()}
        except ValueError as error:
            raise FollowFailed(str(error)) from error
        self.after = after
        self._url, self._filters, self._sleep = url, filters, sleep
        self._log: str | None = None
        self._failure = ""

    def pages(self) -> Iterator[bytes]:
        """Yield the lines of each page that has events.

        Raises:
            FollowFailed: the server cannot be reached at first, or refuses a request.
        """
        while True:
            try:
                response = self._request()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = f"{self._url} cannot be reached ({reason_of(error)})."
                if self._log is None:
                    raise FollowFailed(f"{reason} Start a server there, or name another one.") from error
                self._pause(reason)
                continue
            if response.status in _RETRIED:
                self._pause(f"{self._url} answered {response.status}.")
            elif response.status != http.client.OK or not response.getheader("Lockstream-Through"):
                raise FollowFailed(_refusal(self._url, response.status, content))
            else:
                self._failure = ""
                self._log = response.getheader("Lockstream-Log")
                if content:
                    yield content
                self.after = str(response.getheader("Lockstream-Through"))  # after the caller has printed the page

    def close(self) -> None:
        self._connection.close()

    def _request(self) -> http.client.HTTPResponse:
        wait = 0 if self._log is None else WAIT_SECONDS  # fixes the start at once, so no event is missed
        query = {"after": self.after, "limit": PAGE_EVENTS, "wait": wait, **self._filters}
        headers = self._headers | ({"Lockstream-Log": self._log} if self._log else {})
        self._connection.request("GET", f"{self._path}/events?{urlencode(query)}", headers=headers)
        return self._connection.getresponse()

    def _pause(self, reason: str) -> None:
        """Print why the last request has failed, unless an earlier failure was printed, and wait."""
        if not self._failure:
            info(f"{reason} The request is sent again every second.")
        self._failure = reason
        self._sleep(RETRY_SECONDS)


def _refusal(url: str, status: int, content: bytes) -> str:
    """Return the error about a refused request, with the text of the server if it is Lockstream."""
    if refusal := access_refusal(url, status, content):
        return printable(refusal)
    try:
        return str(msgspec.json.decode(content)["detail"])
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
        return unexpected_response(url, status, content)


def unexpected_response(url: str, status: int, content: bytes) -> str:
    """Return the error about a response that Lockstream would not send."""
    shown = quoted(content[:200].decode(errors="replace"))
    return f"{url} answered {status}: {shown}. Check that the URL is that of a Lockstream server."
