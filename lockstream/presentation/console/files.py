"""The console's own files, and the colours of the installation. Their addresses change with their contents."""

import gzip
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import Request, Response

from lockstream.settings import Settings

THEME = "theme.css"
"""The stylesheet with the colour of the installation. A page may not have styles of its own."""

YEAR_SECONDS = 31_536_000

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOLDER = files("lockstream.presentation.console") / "static"
_ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
_COLOUR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})")
_BLACK, _WHITE = "#000000", "#ffffff"
"""One of both has a contrast of at least 4.5 with any colour."""


def response_to(request: Request, name: str, settings: Settings) -> Response:
    """Return the response to a request for a file. `name` may begin with the version that `version` has returned."""
    name = PurePosixPath(name).name
    if name != THEME and name not in names():
        return Response("There is no such file.", 404, media_type="text/plain")
    is_compressed = bool(_ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")))
    content = (_compressed if is_compressed else _content)(name, settings.console_colour)
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    is_versioned = f"/{version(settings)}/" in request.scope["path"]
    age = f"public, max-age={YEAR_SECONDS}, immutable" if is_versioned else "no-cache"
    headers = {"ETag": tag, "Cache-Control": age, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers={**headers, "Content-Type": _TYPES[PurePosixPath(name).suffix]})


@cache
def names() -> frozenset[str]:
    """Return the names of all files."""
    return frozenset(
        entry.name for entry in _FOLDER.iterdir() if entry.is_file() and PurePosixPath(entry.name).suffix in _TYPES
    )


def version(settings: Settings) -> str:
    """Return a digest of all files, which is part of their addresses."""
    return _version(settings.console_colour)


@cache
def _version(colour: str | None) -> str:
    digest = sha256(_theme(colour))
    for name in sorted(names()):
        digest.update((_FOLDER / name).read_bytes())
    return digest.hexdigest()[:12]


@cache
def _content(name: str, colour: str | None) -> bytes:
    """Return the content of a file that there is."""
    return _theme(colour) if name == THEME else (_FOLDER / name).read_bytes()


@cache
def _compressed(name: str, colour: str | None) -> bytes:
    """Return the content of a file that there is, as gzip, which is a third as large."""
    return gzip.compress(_content(name, colour), mtime=0)


def _theme(colour: str | None) -> bytes:
    if not colour:
        return b""
    return f":root {{ --installation: {colour}; --on-installation: {_text_on(colour)}; }}\n".encode()


def _text_on(colour: str) -> str:
    """Return the colour of text with the higher contrast on a colour (WCAG 2.2, "relative luminance")."""
    match = _COLOUR.fullmatch(colour)
    parts = [int(part, 16) / 255 for part in match.groups()] if match else [1.0, 1.0, 1.0]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else _WHITE
