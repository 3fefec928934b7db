"""A disk with one folder, which keeps after a power cut only the guarantees of `fsync`.

The bytes and the size of a file are durable once the file was flushed, as they were when that flush began. A name is
durable once the folder was flushed. A power cut leaves any part of the later changes: any blocks, in any order, any
size that the file has had since, and any of the names that were created, changed or removed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import NamedTuple, Protocol

SECTOR = 512
"""Bytes that a disk writes completely or not at all. The sector that is being written at a power cut may be torn."""

BLOCKS = 512, 4096
"""Sizes of the blocks that reach the disk independently of each other, in bytes."""

type Names = dict[bytes, "File"]
type Pick = Callable[[Sequence[int]], int]
"""Picks, from the moments of a thing's unflushed changes, the last one that is on disk, or 0 if none is."""


class Flushable(Protocol):
    """A file or the folder."""

    moment: int
    """Number of changes so far."""

    def flushed(self, moment: int) -> None:
        """Make all changes up to `moment` durable."""


class File:
    def __init__(self, content: bytes = b"") -> None:
        self.moment = 0
        self.content = bytearray(content)
        self._durable = bytearray(content)
        self._sectors: dict[int, list[tuple[int, bytes]]] = {}
        """Unflushed versions of each sector, with their moments."""

        self._sizes: list[tuple[int, int]] = []
        """Sizes since the last flush, with their moments."""

    def write(self, offset: int, content: bytes) -> None:
        end = offset + len(content)
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset:end] = content
        self._changed()
        for number in range(offset // SECTOR, -(-end // SECTOR)):
            sector = bytes(self.content[number * SECTOR : (number + 1) * SECTOR])
            self._sectors.setdefault(number, []).append((self.moment, sector))

    def resize(self, size: int) -> None:
        _resize(self.content, size)
        self._changed()

    def flushed(self, moment: int) -> None:
        size = _latest(self._sizes, moment, len(self._durable))
        self._sizes = [change for change in self._sizes if change[0] > moment]
        for number, versions in list(self._sectors.items()):
            _put(self._durable, number, _latest(versions, moment, b""))
            self._sectors[number] = [version for version in versions if version[0] > moment]
            if not self._sectors[number]:
                del self._sectors[number]
        _resize(self._durable, size)

    def after_power_cut(self, pick: Pick, chance: Random) -> bytes:
        """Return a content that the disk may hold. The last unflushed block may be torn."""
        image, block = bytearray(self._durable), chance.choice(BLOCKS)
        torn: tuple[int, bytes] = 0, b""
        for number, group in groupby(sorted(self._sectors), lambda sector: sector * SECTOR // block):
            sectors = list(group)
            torn = number * block, bytes(image[number * block : (number + 1) * block])
            moment = pick(sorted({when for sector in sectors for when, _ in self._sectors[sector]}))
            for sector in sectors:
                _put(image, sector, _latest(self._sectors[sector], moment, b""))
        if torn[1] and chance.random() < 0.3:
            begin, old = torn
            place = chance.randrange(len(old))
            image[begin + place : begin + len(old)] = old[place:]
        _resize(image, _latest(self._sizes, pick([when for when, _ in self._sizes]), len(self._durable)))
        return bytes(image)

    def _changed(self) -> None:
        self.moment += 1
        self._sizes.append((self.moment, len(self.content)))


class _NameChange(NamedTuple):
    """A name that was removed, or added, or both at once: no disk loses a file that is renamed."""

    removed: bytes | None
    added: bytes | None
    file: File


class Disk:
    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self.moment = 0
        self.files: Names = {name: File(content) for name, content in files.items()}
        self._durable = dict(self.files)
        self._changes: list[tuple[int, _NameChange]] = []

    def create(self, name: bytes) -> File:
        file = File()
        self._change(_NameChange(None, name, file))
        return file

    def unlink(self, name: bytes) -> None:
        """Raises KeyError if there is no such file."""
        self._change(_NameChange(name, None, self.files[name]))

    def rename(self, old: bytes, new: bytes) -> None:
        """Raises KeyError if there is no such file."""
        self._change(_NameChange(old, new, self.files[old]))

    def flushed(self, moment: int) -> None:
        for when, change in self._changes:
            if when <= moment:
                _apply(change, self._durable)
        self._changes = [change for change in self._changes if change[0] > moment]

    def after_power_cut(self, chance: Random) -> dict[bytes, bytes]:
        """Return files that the disk may hold, by name. Some power cuts leave every unflushed change, some none."""
        names, share = dict(self._durable), chance.choice([0.0, 1.0, chance.random(), chance.random()])
        for _, change in self._changes:
            if chance.random() < share:
                _apply(change, names)

        def pick(moments: Sequence[int]) -> int:
            if not moments or share == 0.0:
                return 0
            return moments[-1] if chance.random() < share else chance.choice([0, *moments[:-1]])

        by_name = sorted(names.items(), key=lambda item: item[0])
        return {name: file.after_power_cut(pick, chance) for name, file in by_name}

    def _change(self, change: _NameChange) -> None:
        self.moment += 1
        _apply(change, self.files)
        self._changes.append((self.moment, change))


def _apply(change: _NameChange, names: Names) -> None:
    if change.removed is not None:
        names.pop(change.removed, None)
    if change.added is not None:
        names[change.added] = change.file


def _latest[StateT](versions: Sequence[tuple[int, StateT]], moment: int, before: StateT) -> StateT:
    return next((state for when, state in reversed(versions) if when <= moment), before)


def _put(image: bytearray, number: int, sector: bytes) -> None:
    begin = number * SECTOR
    if sector:
        image.extend(bytes(max(0, begin - len(image))))
        image[begin : begin + len(sector)] = sector


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))
