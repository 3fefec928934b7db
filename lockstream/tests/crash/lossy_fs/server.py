"""Answers the requests of the kernel from a `Disk`, and copies the files after a power cut while the disk is used."""

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

from lockstream.tests.crash.lossy_fs import fuse
from lockstream.tests.crash.lossy_fs.disk import Disk, File, Flushable
from lockstream.tests.crash.lossy_fs.fuse import Op, Request

LONGEST_FLUSH_SECONDS = 0.03
"""Longest time of a flush. Meanwhile more is written, and a response that does not wait for the flush gets out."""


class _Flush(NamedTuple):
    """A flush that has begun and not ended."""

    due: float
    unique: int
    end: Callable[[], None]


class DiskServer:
    def __init__(self, device: int, disk: Disk) -> None:
        self._device = device
        self._disk = disk
        self._nodes: dict[int, File] = {}
        self._numbers: dict[File, int] = {}
        self._flushes: list[_Flush] = []
        self._flush_times = Random(0)
        self._cut_after_each: tuple[Path, Random] | None = None
        self._cuts_taken = 0
        self._handlers: dict[int, Callable[[Request], bytes | None]] = {
            Op.INIT: lambda request: fuse.initial_response(),
            Op.LOOKUP: self._look_up,
            Op.GETATTR: self._get_attributes,
            Op.SETATTR: self._set_attributes,
            Op.UNLINK: self._unlink,
            Op.RENAME: self._rename,
            Op.OPEN: lambda request: fuse.open_response(),
            Op.OPENDIR: lambda request: fuse.open_response(),
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.STATFS: lambda request: fuse.statfs_response(),
            Op.RELEASE: lambda request: b"",
            Op.RELEASEDIR: lambda request: b"",
            Op.FLUSH: lambda request: b"",
            Op.FSYNC: self._flush_file,
            Op.FSYNCDIR: self._flush_folder,
            Op.READDIR: self._read_directory,
            Op.CREATE: self._create,
        }

    def run(self, folder: Path) -> None:
        """Serve the disk until `folder` is unmounted. The end of standard input unmounts it, too."""
        waiting = select.poll()
        waiting.register(self._device, select.POLLIN)
        waiting.register(0, select.POLLIN)
        while True:
            ready = [file for file, _ in waiting.poll(self._milliseconds())]
            self._end_due_flushes()
            if 0 in ready:
                if line := sys.stdin.buffer.readline():
                    print(self._execute(**json.loads(line)), flush=True)
                else:
                    waiting.unregister(0)
                    Thread(target=fuse.unmount, args=[folder]).start()
            if self._device in ready:
                try:
                    request = fuse.next_request(self._device)
                except OSError as error:
                    if error.errno == errno.ENODEV:
                        return
                    raise
                if request and request.op not in fuse.WITHOUT_RESPONSE:
                    self._handle(request)

    def _execute(self, cut: str = "", each: str = "", seed: int = 0) -> int:
        """Cut the power into the folder `cut`, or after each change from now on into folders in `each`.

        Without either, cut it no more. Return the number of cuts after changes since the last order.
        """
        self._cut_after_each = (Path(each), Random(seed)) if each else None
        if cut:
            self._cut_power(Path(cut), Random(seed))
        taken, self._cuts_taken = self._cuts_taken, 0
        return taken

    def _cut_power(self, folder: Path, chance: Random) -> None:
        folder.mkdir(parents=True)
        for name, content in self._disk.after_power_cut(chance).items():
            (folder / os.fsdecode(name)).write_bytes(content)

    def _changed(self) -> None:
        if self._cut_after_each:
            folder, chance = self._cut_after_each
            self._cut_power(folder / str(self._cuts_taken), chance)
            self._cuts_taken += 1

    def _handle(self, request: Request) -> None:
        handler = self._handlers.get(request.op)
        if handler is None:
            fuse.respond(self._device, request.unique, error=errno.ENOSYS)
            return
        try:
            body = handler(request)
        except KeyError:
            fuse.respond(self._device, request.unique, error=errno.ENOENT)
            return
        if body is not None:
            fuse.respond(self._device, request.unique, body)

    def _flush_file(self, request: Request) -> None:
        self._begin_flush(self._nodes[request.node], request)

    def _flush_folder(self, request: Request) -> None:
        self._begin_flush(self._disk, request)

    def _begin_flush(self, flushed: Flushable, request: Request) -> None:
        due = monotonic() + self._flush_times.uniform(0, LONGEST_FLUSH_SECONDS)
        end = partial(self._end_flush, flushed, flushed.moment, request.unique)
        heapq.heappush(self._flushes, _Flush(due, request.unique, end))

    def _end_flush(self, flushed: Flushable, moment: int, unique: int) -> None:
        flushed.flushed(moment)
        self._changed()
        fuse.respond(self._device, unique)

    def _end_due_flushes(self) -> None:
        while self._flushes and self._flushes[0].due <= monotonic():
            heapq.heappop(self._flushes).end()

    def _milliseconds(self) -> float | None:
        return max(0.0, self._flushes[0].due - monotonic()) * 1000 if self._flushes else None

    def _number(self, file: File) -> int:
        number = self._numbers.setdefault(file, fuse.ROOT + 1 + len(self._numbers))
        self._nodes[number] = file
        return number

    def _look_up(self, request: Request) -> bytes:
        file = self._disk.files[fuse.names(request.body)[0]]
        return fuse.entry_response(self._number(file), len(file.content))

    def _get_attributes(self, request: Request) -> bytes:
        size = 0 if request.node == fuse.ROOT else len(self._nodes[request.node].content)
        return fuse.attributes_response(request.node, size)

    def _set_attributes(self, request: Request) -> bytes:
        valid, _, _, size = fuse.SETATTR_IN.unpack_from(request.body)
        if valid & fuse.SIZE_IS_VALID:
            self._nodes[request.node].resize(size)
            self._changed()
        return self._get_attributes(request)

    def _unlink(self, request: Request) -> bytes:
        self._disk.unlink(fuse.names(request.body)[0])
        self._changed()
        return b""

    def _rename(self, request: Request) -> bytes:
        self._disk.rename(*fuse.names(request.body[fuse.RENAME_IN.size :]))
        self._changed()
        return b""

    def _read(self, request: Request) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(request.body)
        return bytes(self._nodes[request.node].content[offset : offset + size])

    def _write(self, request: Request) -> bytes:
        _, offset, size, *_ = fuse.WRITE_IN.unpack_from(request.body)
        begin = fuse.WRITE_IN.size
        self._nodes[request.node].write(offset, request.body[begin : begin + size])
        self._changed()
        return fuse.write_response(size)

    def _create(self, request: Request) -> bytes:
        file = self._disk.create(fuse.names(request.body[fuse.CREATE_IN.size :])[0])
        self._changed()
        return fuse.entry_response(self._number(file), 0) + fuse.open_response()

    def _read_directory(self, request: Request) -> bytes:
        _, offset, size, *_ = fuse.READ_IN.unpack_from(request.body)
        listed = b""
        for following, (name, file) in enumerate(self._disk.files.items(), 1):
            more = fuse.directory_entry(self._number(file), following, name)
            if following > offset and len(listed) + len(more) <= size:
                listed += more
        return listed
