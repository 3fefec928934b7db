"""A small body that would be a huge one."""

import gzip
import json
import zlib
from functools import cache
from pathlib import Path

import pytest

from lockstream.tests.presentation.http.batches import Form
from lockstream.tests.presentation.http.conftest import Clients
from lockstream.tests.presentation.http.test_encodings import each_body
from lockstream.tests.support.builders import registered
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server

MEBIBYTE = 1024 * 1024
SIZE = 100 * MEBIBYTE
ROOM = 20 * MEBIBYTE
"""How much more memory a server may take for it."""

KINDS = {"blanks": b" ", "line ends": b"\n", "brackets": b"[", "strings": b'"abc",  '}


@cache
def bomb(text: bytes) -> bytes:
    """As one member; each MiB of it takes about a KiB."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = text * (MEBIBYTE // len(text))
    times = SIZE // len(block)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    end = deflate.flush()
    checksum = 0
    for _ in range(times):
        checksum = zlib.crc32(block, checksum)
    return gzip.compress(b"")[:10] + part * times + end + checksum.to_bytes(4, "little") + SIZE.to_bytes(4, "little")


@each_body
def test_what_inflates_to_nothing_is_too_large_as_well(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    for name in "EVENT", "BATCH":
        monkeypatch.setenv(f"LOCKSTREAM_MAX_{name}_BYTES", "1024")
    headers = {"content-type": form.media_type, "content-encoding": "gzip"}
    with clients() as client:
        assert client.post(form.path, content=gzip.compress(b"") * 5_000, headers=headers).status_code == 413


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_a_bomb_is_what_it_is_said_to_be(text: bytes) -> None:
    body, inflate, size = bomb(text), zlib.decompressobj(zlib.MAX_WBITS + 16), 0
    assert len(body) < MEBIBYTE
    while not inflate.eof:
        size += len(inflate.decompress(body, MEBIBYTE))
        body = inflate.unconsumed_tail
    assert size == SIZE


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
@each_body
def test_it_is_too_large_and_takes_no_memory(log_path: Path, form: Form) -> None:
    bombs = {kind: bomb(text) for kind, text in KINDS.items()}
    bombs["many members"] = gzip.compress(b" " * MEBIBYTE) * (SIZE // MEBIBYTE)
    event = gzip.compress(form.write(json.dumps(registered()).encode()))
    with Server(log_path, LOCKSTREAM_MAX_BATCH_BYTES=str(MEBIBYTE)).start() as server:
        assert post(server, form, event) in (200, 202)
        before = peak_memory(server)
        for kind, body in bombs.items():
            assert post(server, form, body) == 413, kind
            assert peak_memory(server) - before < ROOM, kind
        assert post(server, form, event) == 200
    assert len(audited(log_path)) == 1


def post(server: Server, form: Form, body: bytes) -> int:
    headers = {"content-type": form.media_type, "content-encoding": "gzip"}
    return server.request("POST", form.path, body, headers)[0]


def peak_memory(server: Server) -> int:
    """The most bytes that a server had in memory so far."""
    (peak,) = (line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmHWM" in line)
    return int(peak.split()[1]) * 1024
