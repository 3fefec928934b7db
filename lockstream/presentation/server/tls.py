"""TLS: the certificate of the server, which may be renewed while connections are open.

Protocol versions and ciphers are Python's defaults, so TLS 1.2 is the oldest version. Client certificates are left to a
proxy.
"""

import _ssl
import logging
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from lockstream.core.errors import LockstreamError
from lockstream.presentation.server.handshakes import Handshake, Handshakes
from lockstream.presentation.server.protocol import Connection
from lockstream.settings import Settings

_MISMATCHES = "KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"
"""Reasons of OpenSSL if a key belongs to another certificate. The last two: a key of another kind, such as RSA."""

logger = logging.getLogger(__name__)


class TlsRefused(LockstreamError):
    """Raised when the files that the settings name are not a certificate and its key."""


class Tls:
    """A certificate with its key, and the context of all connections."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load both files.

        Raises:
            TlsRefused: the files cannot be used.
        """
        self._certificate, self._key = certificate, key
        self.context = new_context()
        self._load()

    @classmethod
    def of(cls, settings: Settings) -> "Tls | None":
        """Return the certificate that the settings name, or None if they name none.

        Raises:
            TlsRefused: the certificate cannot be used, or only one of the two settings is set.
        """
        if settings.tls_cert and settings.tls_key:
            return cls(settings.tls_cert, settings.tls_key)
        if settings.tls_cert or settings.tls_key:
            given, missing = ("CERT", "KEY") if settings.tls_cert else ("KEY", "CERT")
            raise TlsRefused(
                f"LOCKSTREAM_TLS_{given} is set, and LOCKSTREAM_TLS_{missing} is not. Set both, or neither."
            )
        return None

    def reload(self) -> None:
        """Load the certificate again, for new connections. If the files cannot be used, the last certificate stays.

        Open connections go on. The files are first loaded into a context of their own, since a failure in the middle
        would leave a certificate with the key of another one.
        """
        try:
            self._load()
        except (TlsRefused, OSError) as refused:
            logger.error(  # noqa: TRY400  # the error needs no traceback
                "%s The last certificate stays in use. Correct the files, and send SIGHUP again.",
                refused,
                extra={"event_name": "tls_reload_failed"},
            )

    def _load(self) -> None:
        load_certificate(new_context(), self._certificate, self._key)
        load_certificate(self.context, self._certificate, self._key)
        _log_certificate(self._certificate)


class TlsLoop(uvloop.Loop):
    """An event loop whose servers with TLS count a connection from the beginning of its handshake."""

    def __init__(self, handshakes: Handshakes) -> None:
        super().__init__()
        self._handshakes = handshakes

    async def create_server(self, *args: Any, **more: Any) -> Any:
        if more.get("ssl") is None:  # the port of the metrics
            return await super().create_server(*args, **more)
        return await super().create_server(self._factory(*args[:1]), *args[1:], **more | {"ssl": None})

    async def create_unix_server(self, *args: Any, **more: Any) -> Any:
        return await super().create_unix_server(self._factory(*args[:1]), *args[1:], **more | {"ssl": None})

    def _factory(self, new_connection: Callable[[], Connection]) -> Callable[[], Handshake]:
        return partial(Handshake, self._handshakes, new_connection)


class TlsConfig(uvicorn.Config):
    """uvicorn's configuration, for connections over TLS."""

    def __init__(self, *args: Any, tls: Tls, handshake_seconds: int, **more: Any) -> None:
        more["ssl_context_factory"] = lambda *_: tls.context
        super().__init__(*args, **more)
        self._handshakes = Handshakes(tls.context, handshake_seconds)

    def get_loop_factory(self) -> Callable[[], uvloop.Loop]:
        return partial(TlsLoop, self._handshakes)


def new_context() -> ssl.SSLContext:
    """Return a context of a server, without a certificate."""
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load a certificate with its chain, and its key, from PEM files.

    Raises:
        TlsRefused: the files cannot be used.
    """
    _require_pem("LOCKSTREAM_TLS_CERT", certificate, b"CERTIFICATE", "the certificate and its chain")
    _require_pem("LOCKSTREAM_TLS_KEY", key, b"PRIVATE KEY", "the key of the certificate")
    try:
        context.load_cert_chain(certificate, key, password=partial(_refuse_encrypted, key))
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise TlsRefused(
                f"The key in {key} (LOCKSTREAM_TLS_KEY) does not belong to the certificate in {certificate} "
                "(LOCKSTREAM_TLS_CERT). Name the two files of one certificate."
            ) from error
        raise TlsRefused(
            f"The certificate in {certificate} (LOCKSTREAM_TLS_CERT) cannot be used with the key in {key} "
            f"(LOCKSTREAM_TLS_KEY): {error.reason or error}. Name two PEM files that `openssl x509` and `openssl pkey` "
            "can read."
        ) from error
    except OSError as error:  # a file was replaced meanwhile
        raise TlsRefused(
            f"The certificate in {certificate} or its key in {key} cannot be read: {error.strerror or error}. Give "
            "this user access to both files."
        ) from error


def _require_pem(setting: str, path: Path, kind: bytes, content: str) -> None:
    """Raise TlsRefused if a file cannot be read, or has no block of this kind."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise TlsRefused(
            f"{setting}: {path} cannot be read: {error.strerror or error}. Name a PEM file with {content}, which this "
            "user may read."
        ) from error
    if kind + b"-----" not in text:
        raise TlsRefused(f"{setting}: {path} holds no PEM block of {content}. Name a PEM file with {content}.")


def _refuse_encrypted(key: Path) -> str:
    raise TlsRefused(
        f"LOCKSTREAM_TLS_KEY: the key in {key} is encrypted. Decrypt it, with `openssl pkey -in {key.name} -out NEW`, "
        "and let only the user of the server read it."
    )


def _log_certificate(path: Path) -> None:
    """Log the names and the expiry of a certificate, and warn if the certificate is not valid now."""
    decoded = _ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]  # Python has no public function for it
    begin, end = str(decoded["notBefore"]), str(decoded["notAfter"])
    names = ", ".join(str(value) for _, value in decoded.get("subjectAltName", ())) or "no name"
    if ssl.cert_time_to_seconds(end) < time.time():
        logger.warning(
            "The TLS certificate in %s has expired on %s. Renew it, and send SIGHUP.",
            path,
            end,
            extra={"event_name": "tls_certificate_expired"},
        )
    elif ssl.cert_time_to_seconds(begin) > time.time():
        logger.warning(
            "The TLS certificate in %s is not valid before %s. Check the clock.",
            path,
            begin,
            extra={"event_name": "tls_certificate_not_yet_valid"},
        )
    else:
        logger.info(
            "The TLS certificate in %s is for %s, and valid until %s.",
            path,
            names,
            end,
            extra={"event_name": "tls_certificate_loaded"},
        )
