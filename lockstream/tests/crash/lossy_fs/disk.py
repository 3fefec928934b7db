"""A disk with one folder, which promises what `fsync` promises and nothing else.

A file's bytes and its size are sure once it was flushed, and then as they were when that flush began; its name is sure
once the folder was. Of all that came later, a power cut leaves a part: any blocks, in any order, with any of the sizes
that the file has had since, and any of the names that were made, changed or removed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import NamedTuple, Protocol

SECTOR = 512
"""Bytes that are written to a platter as a whole. What the disk was at when the power went may be torn even so."""

BLOCKS = 512, 4096

type Names = dict[bytes, "File"]
type Pick = Callable[[Sequence[int]], int]
"""Which of the moments, at each of which a thing was changed, its state on the disk is of; 0 is that of its flush."""


class Flushable(Protocol):
    """A file, or a folder."""

    moment: int
    """Counts the changes."""

    def flushed(self, moment: int) -> None:
        """What was there at `moment` is sure from now on."""


class File:
    def __init__(self, content: bytes = b"") -> None:
        self.moment = 0
        self.content = bytearray(content)
        self._sure = bytearray(content)
        self._sectors: dict[int, list[tuple[int, bytes]]] = {}
        self._sizes: list[tuple[int, int]] = []

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
        size = _latest(self._sizes, moment, len(self._sure))
        self._sizes = [change for change in self._sizes if change[0] > moment]
        for number, versions in list(self._sectors.items()):
            _put(self._sure, number, _latest(versions, moment, b""))
            self._sectors[number] = [version for version in versions if version[0] > moment]
            if not self._sectors[number]:
                del self._sectors[number]
        _resize(self._sure, size)

    def after_a_cut(self, pick: Pick, chance: Random) -> bytes:
        """What the disk may hold. Of the last block that was not flushed, it may be a part."""
        image, block = bytearray(self._sure), chance.choice(BLOCKS)
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
        _resize(image, _latest(self._sizes, pick([when for when, _ in self._sizes]), len(self._sure)))
        return bytes(image)

    def _changed(self) -> None:
        self.moment += 1
        self._sizes.append((self.moment, len(self.content)))


class _Change(NamedTuple):
    """A name that has gone, or come, or both at once: no disk loses a file that is renamed."""

    gone: bytes | None
    come: bytes | None
    file: File


class Disk:
    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self.moment = 0
        self.files: Names = {name: File(content) for name, content in files.items()}
        self._sure = dict(self.files)
        self._changes: list[tuple[int, _Change]] = []

    def create(self, name: bytes) -> File:
        file = File()
        self._change(_Change(None, name, file))
        return file

    def unlink(self, name: bytes) -> None:
        """Raises KeyError."""
        self._change(_Change(name, None, self.files[name]))

    def rename(self, old: bytes, new: bytes) -> None:
        """Raises KeyError."""
        self._change(_Change(old, new, self.files[old]))

    def flushed(self, moment: int) -> None:
        for when, change in self._changes:
            if when <= moment:
                _apply(change, self._sure)
        self._changes = [change for change in self._changes if change[0] > moment]

    def after_a_cut(self, chance: Random) -> dict[bytes, bytes]:
        """Each file that may be there, with what may be in it; some cuts leave all of it or nothing."""
        names, share = dict(self._sure), chance.choice([0.0, 1.0, chance.random(), chance.random()])
        for _, change in self._changes:
            if chance.random() < share:
                _apply(change, names)

        def pick(moments: Sequence[int]) -> int:
            if not moments or share == 0.0:
                return 0
            return moments[-1] if chance.random() < share else chance.choice([0, *moments[:-1]])

        return {name: file.after_a_cut(pick, chance) for name, file in sorted(names.items(), key=lambda one: one[0])}

    def _change(self, change: _Change) -> None:
        self.moment += 1
        _apply(change, self.files)
        self._changes.append((self.moment, change))


def _apply(change: _Change, names: Names) -> None:
    if change.gone is not None:
        names.pop(change.gone, None)
    if change.come is not None:
        names[change.come] = change.file


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
