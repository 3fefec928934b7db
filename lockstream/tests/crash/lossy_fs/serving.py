"""Answers the kernel for a `Disk`, and takes what it may be after a power cut, while whoever uses it goes on."""

import errno
import heapq
import json
import os
import select
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread
from time import monotonic
from typing import NamedTuple

from lockstream.tests.crash.lossy_fs import kernel
from lockstream.tests.crash.lossy_fs.disk import Disk, File, Flushable
from lockstream.tests.crash.lossy_fs.kernel import Op, Request

SLOWEST_FLUSH_SECONDS = 0.03
"""A flush takes up to so long; meanwhile more is written, and whoever says too early that it is sure has been heard."""


class _Flush(NamedTuple):
    """One that is under way."""

    due: float
    unique: int
    ended: Callable[[], None]


class Serving:
    def __init__(self, device: int, disk: Disk) -> None:
        self._device = device
        self._disk = disk
        self._nodes: dict[int, File] = {}
        self._numbers: dict[File, int] = {}
        self._flushes: list[_Flush] = []
        self._slowness = Random(0)
        self._cut_each: tuple[Path, Random] | None = None
        self._cuts = 0
        self._handlers: dict[int, Callable[[Request], bytes | None]] = {
            Op.INIT: lambda request: kernel.initial(),
            Op.LOOKUP: self._look_up,
            Op.GETATTR: self._get_attributes,
            Op.SETATTR: self._set_attributes,
            Op.UNLINK: self._unlink,
            Op.RENAME: self._rename,
            Op.OPEN: lambda request: kernel.opened(),
            Op.OPENDIR: lambda request: kernel.opened(),
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.STATFS: lambda request: kernel.room(),
            Op.RELEASE: lambda request: b"",
            Op.RELEASEDIR: lambda request: b"",
            Op.FLUSH: lambda request: b"",
            Op.FSYNC: self._flush_file,
            Op.FSYNCDIR: self._flush_folder,
            Op.READDIR: self._read_directory,
            Op.CREATE: self._create,
        }

    def run(self, folder: Path) -> None:
        """Serve until `folder`, where this is mounted, is unmounted: here, where standard input ends without that."""
        waiting = select.poll()
        waiting.register(self._device, select.POLLIN)
        waiting.register(0, select.POLLIN)
        while True:
            ready = [file for file, _ in waiting.poll(self._milliseconds())]
            self._end_flushes()
            if 0 in ready:
                if line := sys.stdin.buffer.readline():
                    print(self._obey(**json.loads(line)), flush=True)
                else:
                    waiting.unregister(0)
                    Thread(target=kernel.unmount, args=[folder]).start()
            if self._device in ready:
                try:
                    request = kernel.received(self._device)
                except OSError as error:
                    if error.errno == errno.ENODEV:
                        return
                    raise
                if request and request.op not in kernel.UNANSWERED:
                    self._handle(request)

    def _obey(self, cut: str = "", each: str = "", seed: int = 0) -> int:
        """Take a `cut` now, or one after `each` change from now on, into folders; returns how many were taken of those.

        With neither, none is taken any more.
        """
        self._cut_each = (Path(each), Random(seed)) if each else None
        if cut:
            self._take_cut(Path(cut), Random(seed))
        taken, self._cuts = self._cuts, 0
        return taken

    def _take_cut(self, folder: Path, chance: Random) -> None:
        folder.mkdir(parents=True)
        for name, content in self._disk.after_a_cut(chance).items():
            (folder / os.fsdecode(name)).write_bytes(content)

    def _changed(self) -> None:
        if self._cut_each:
            folder, chance = self._cut_each
            self._take_cut(folder / str(self._cuts), chance)
            self._cuts += 1

    def _handle(self, request: Request) -> None:
        handler = self._handlers.get(request.op)
        if handler is None:
            kernel.answer(self._device, request.unique, error=errno.ENOSYS)
            return
        try:
            body = handler(request)
        except KeyError:
            kernel.answer(self._device, request.unique, error=errno.ENOENT)
            return
        if body is not None:
            kernel.answer(self._device, request.unique, body)

    def _flush_file(self, request: Request) -> None:
        self._begin_flush(self._nodes[request.node], request)

    def _flush_folder(self, request: Request) -> None:
        self._begin_flush(self._disk, request)

    def _begin_flush(self, flushed: Flushable, request: Request) -> None:
        due = monotonic() + self._slowness.uniform(0, SLOWEST_FLUSH_SECONDS)
        ended = partial(self._end_flush, flushed, flushed.moment, request.unique)
        heapq.heappush(self._flushes, _Flush(due, request.unique, ended))

    def _end_flush(self, flushed: Flushable, moment: int, unique: int) -> None:
        flushed.flushed(moment)
        self._changed()
        kernel.answer(self._device, unique)

    def _end_flushes(self) -> None:
        while self._flushes and self._flushes[0].due <= monotonic():
            heapq.heappop(self._flushes).ended()

    def _milliseconds(self) -> float | None:
        return max(0.0, self._flushes[0].due - monotonic()) * 1000 if self._flushes else None

    def _number(self, file: File) -> int:
        number = self._numbers.setdefault(file, kernel.ROOT + 1 + len(self._numbers))
        self._nodes[number] = file
        return number

    def _look_up(self, request: Request) -> bytes:
        file = self._disk.files[kernel.names(request.body)[0]]
        return kernel.entry(self._number(file), len(file.content))

    def _get_attributes(self, request: Request) -> bytes:
        size = 0 if request.node == kernel.ROOT else len(self._nodes[request.node].content)
        return kernel.attributes(request.node, size)

    def _set_attributes(self, request: Request) -> bytes:
        what, _, _, size = kernel.SIZE_IN.unpack_from(request.body)
        if what & kernel.SIZE_IS_SET:
            self._nodes[request.node].resize(size)
            self._changed()
        return self._get_attributes(request)

    def _unlink(self, request: Request) -> bytes:
        self._disk.unlink(kernel.names(request.body)[0])
        self._changed()
        return b""

    def _rename(self, request: Request) -> bytes:
        self._disk.rename(*kernel.names(request.body[kernel.RENAME_IN.size :]))
        self._changed()
        return b""

    def _read(self, request: Request) -> bytes:
        _, offset, size, *_ = kernel.READ_IN.unpack_from(request.body)
        return bytes(self._nodes[request.node].content[offset : offset + size])

    def _write(self, request: Request) -> bytes:
        _, offset, size, *_ = kernel.WRITE_IN.unpack_from(request.body)
        begin = kernel.WRITE_IN.size
        self._nodes[request.node].write(offset, request.body[begin : begin + size])
        self._changed()
        return kernel.written(size)

    def _create(self, request: Request) -> bytes:
        file = self._disk.create(kernel.names(request.body[kernel.CREATE_IN.size :])[0])
        self._changed()
        return kernel.entry(self._number(file), 0) + kernel.opened()

    def _read_directory(self, request: Request) -> bytes:
        _, offset, size, *_ = kernel.READ_IN.unpack_from(request.body)
        listed = b""
        for following, (name, file) in enumerate(self._disk.files.items(), 1):
            more = kernel.directory_entry(self._number(file), following, name)
            if following > offset and len(listed) + len(more) <= size:
                listed += more
        return listed
