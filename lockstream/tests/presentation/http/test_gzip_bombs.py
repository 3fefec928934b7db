"""Small gzip bodies that decompress to huge ones: they get 413, and take little memory."""

import gzip
import json
import zlib
from functools import cache
from pathlib import Path

import pytest

from lockstream.tests.presentation.http.batch_requests import Form, each_body
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server, needs_proc, peak_memory

MEBIBYTE = 1024 * 1024
SIZE = 100 * MEBIBYTE
MAX_GROWTH = 20 * MEBIBYTE
"""Bytes of memory that a bomb may cost."""

CONTENTS = {"blanks": b" ", "line ends": b"\n", "brackets": b"[", "strings": b'"abc",  '}


@cache
def bomb(content: bytes) -> bytes:
    """Return a gzip member that decompresses to `SIZE` bytes; each MiB of them takes about 1 KiB."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = content * (MEBIBYTE // len(content))
    repetitions = SIZE // len(block)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    end = deflate.flush()
    checksum = 0
    for _ in range(repetitions):
        checksum = zlib.crc32(block, checksum)
    trailer = checksum.to_bytes(4, "little") + SIZE.to_bytes(4, "little")
    return gzip.compress(b"")[:10] + part * repetitions + end + trailer


@each_body
def test_a_body_of_empty_gzip_members_gets_413(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    for name in "EVENT", "BATCH":
        monkeypatch.setenv(f"LOCKSTREAM_MAX_{name}_BYTES", "1024")
    headers = {"content-type": form.media_type, "content-encoding": "gzip"}
    with new_client() as client:
        assert client.post(form.path, content=gzip.compress(b"") * 5_000, headers=headers).status_code == 413


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_bomb_is_valid_gzip_of_100_mib(content: bytes) -> None:
    body, inflate, size = bomb(content), zlib.decompressobj(zlib.MAX_WBITS + 16), 0
    assert len(body) < MEBIBYTE
    while not inflate.eof:
        size += len(inflate.decompress(body, MEBIBYTE))
        body = inflate.unconsumed_tail
    assert size == SIZE


@needs_proc
@each_body
def test_a_bomb_gets_413_and_takes_little_memory(log_path: Path, form: Form) -> None:
    # given a server that has accepted a compressed event
    bombs = {name: bomb(content) for name, content in CONTENTS.items()}
    bombs["many members"] = gzip.compress(b" " * MEBIBYTE) * (SIZE // MEBIBYTE)
    event = gzip.compress(form.write(json.dumps(registered()).encode()))
    with Server(log_path, LOCKSTREAM_MAX_BATCH_BYTES=str(MEBIBYTE)).start() as server:
        assert post(server, form, event) in (200, 202)
        memory = peak_memory(server)
        # when a bomb arrives, then it is refused before it is decompressed
        for name, body in bombs.items():
            assert post(server, form, body) == 413, name
            assert peak_memory(server) - memory < MAX_GROWTH, name
        assert post(server, form, event) == 200
    assert len(audited(log_path)) == 1


def post(server: Server, form: Form, body: bytes) -> int:
    headers = {"content-type": form.media_type, "content-encoding": "gzip"}
    return server.request("POST", form.path, body, headers)[0]
