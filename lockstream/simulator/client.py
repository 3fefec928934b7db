"""The client that posts events to a server. A batch that was not acknowledged is sent again, unchanged."""

import http.client
import os
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from lockstream.core.entities.key_text import is_key_text
from lockstream.core.errors import SimulationFailed

BATCH_EVENTS = 5_000
"""Most events in one request."""

TIMEOUT_SECONDS = 60
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds before a batch is sent again, unless the server names a time. The pause doubles with each attempt."""

DEADLINE_SECONDS = 600
"""Time after which a batch is given up if the server does not come back."""

_SERVER_ERROR = 500
_RETRIED = frozenset((408, 429, _SERVER_ERROR, 502, 503, 504))
"""Statuses after which a later request may succeed. 502 and 504 come from a proxy."""

KEY_VARIABLE = "LOCKSTREAM_API_KEY"
"""Environment variable with the API key that commands send to a server."""

_REFUSED = frozenset((401, 403))


class Item(Struct, frozen=True):
    """The outcome of one event: 202 if it was accepted, 200 if it is a duplicate, else it was refused."""

    status: int
    code: str = ""
    """The code of a refusal."""


class _NotAcknowledged(Exception):
    """Raised when a batch must be sent again. `pause` is the time in seconds that the server asks for, or 0."""

    def __init__(self, reason: str, pause: int = 0) -> None:
        super().__init__(reason)
        self.pause = pause


class Client:
    """A connection to the server at a URL. After a loss, the next request connects again."""

    def __init__(
        self, url: str, on_failure: Callable[[str], object], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`on_failure` is called with the reason before each further attempt. It may raise an exception instead.

        Raises:
            SimulationFailed: no request can be sent to this URL.
        """
        try:
            self._connection, path = connection_to(url, TIMEOUT_SECONDS)
            self._headers = {"Content-Type": "application/x-ndjson", **key_headers()}
        except ValueError as error:
            raise SimulationFailed(str(error)) from error
        self._path = f"{path}/events/batch"
        self._url = url
        self._on_failure = on_failure
        self._sleep = sleep
        self._was_reached = False

    def post(self, events: Sequence[bytes], meanwhile: Callable[[], object] = lambda: None) -> list[Item]:
        """Post events in one batch until the server has decided all of them; return their outcomes, in order.

        `meanwhile` is called each time that the batch was sent, while the server decides.

        Raises:
            SimulationFailed: the server was never reached, did not come back in time, or rejects every request.
        """
        body = b"\n".join(events)
        pause, waited, may_be_stale = SHORTEST_PAUSE, 0.0, self._connection.sock is not None
        while True:
            try:
                self._send(body)
                meanwhile()
                return self._receive()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if may_be_stale:  # a server closes a connection that was silent for long
                    may_be_stale = False
                    continue
                reason, asked = f"{self._url} cannot be reached ({reason_of(error)}).", 0
                if not self._was_reached:
                    raise SimulationFailed(f"{reason} Start a server there, or name another with --post.") from error
            except _NotAcknowledged as failure:
                reason, asked = str(failure), failure.pause
            if waited >= DEADLINE_SECONDS:
                raise SimulationFailed(f"{reason} It was tried for {DEADLINE_SECONDS // 60} minutes. Try again later.")
            self._on_failure(reason)
            self._sleep(delay := asked or pause)
            pause, waited = min(2 * pause, LONGEST_PAUSE), waited + delay

    def close(self) -> None:
        self._connection.close()

    def _send(self, body: bytes) -> None:
        if self._connection.sock is None:
            self._connection.connect()
            self._was_reached = True
        self._connection.request("POST", self._path, body, self._headers)

    def _receive(self) -> list[Item]:
        response = self._connection.getresponse()
        content = response.read()
        answer = f"{self._url} answered {response.status}"
        if response.status in _RETRIED:
            asked = response.getheader("Retry-After", "")
            raise _NotAcknowledged(f"{answer}.", int(asked) if asked.isdecimal() else 0)
        if refusal := access_refusal(self._url, response.status, content):
            raise SimulationFailed(refusal)
        try:
            items = msgspec.json.decode(content, type=list[Item]) if response.status == http.client.OK else None
        except msgspec.MsgspecError:
            items = None
        if items is None:
            raise SimulationFailed(
                f"{answer} to a batch of events: {content[:200].decode(errors='replace')!r}. Check that --post names a "
                "Lockstream server."
            )
        if any(item.status == _SERVER_ERROR for item in items):
            raise _NotAcknowledged(f"{answer} with an internal error for some events.")
        return items


def connection_to(url: str, timeout_seconds: float) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection to the server at `url`, which the first request opens, and the path of the server.

    Raises:
        ValueError: no request can be sent to this URL.
    """
    wrong = f"{url!r} is not the URL of a server. Write it as http://HOST:PORT, or with https."
    try:
        split = urlsplit(url)
        is_usable = split.scheme in ("http", "https") and split.hostname and split.port != 0 and split.path.isascii()
        str(split.hostname).encode("idna")
    except ValueError as error:  # the port is not a number of 16 bits, or the host is malformed
        raise ValueError(wrong) from error
    if not is_usable or split.query or split.fragment or "@" in split.netloc:
        raise ValueError(wrong)
    kind = http.client.HTTPSConnection if split.scheme == "https" else http.client.HTTPConnection
    return kind(str(split.hostname), split.port, timeout=timeout_seconds), split.path.rstrip("/")


def key_headers() -> dict[str, str]:
    """Return the header with the API key that `LOCKSTREAM_API_KEY` contains, or none.

    Raises:
        ValueError: the variable contains another text, which the error does not repeat.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return {}
    if not is_key_text(key):
        raise ValueError(f"{KEY_VARIABLE} does not contain an API key, or one with a typing error. Copy the key again.")
    return {"Authorization": f"Bearer {key}"}


def access_refusal(url: str, status: int, content: bytes) -> str | None:
    """Return the error about a request that was refused because of its API key, or None about any other response."""
    if status not in _REFUSED:
        return None
    try:
        detail = str(msgspec.json.decode(content)["detail"])
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
        return None
    return f"{url} answered {status}: {detail} This command sends the key in the environment variable {KEY_VARIABLE}."


def reason_of(error: Exception) -> str:
    """Return the reason why a connection has failed, without the number of the error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names an authority to trust"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
