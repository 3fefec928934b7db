"""Which keys were ever given: says of nearly every new one "surely new", without a look at the disk.

Nearly every event bears an id that was never seen before. To ask a database each time costs more the longer the
history is, and so does an index that is written at random places; a set of the ids in memory costs 80 to 150 bytes
each. So there are two tiers, as in any log-structured index:

- what is recent, exact, in a dict; kept in the projection, appended to with its rows, in one transaction;
- the rest as one sorted array, eight bytes a key: 36 bits of its hash and the block of 64 positions that gave it. It
  is searched for a whole batch at a time, and lives in a file of its own that is only ever replaced as a whole, when
  what is recent has become a sixty-fourth of it.

That is some 11 bytes a key in memory, and 0.7 µs for a look-up, at any size. Two keys may share the 36 bits, so what
is found is a place to look, and the log decides: of n keys n / 2^36 are looked for in vain, one in 70 with a billion.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

RECENT_LEAST = 1 << 16
"""So many keys may be recent in any case."""

RECENT_SHARE = 64
"""Beyond that, one in so many. The file is written anew each time: so many times eight bytes for each key."""

BLOCK = 64
"""The log is looked at in blocks of so many positions, some 20 kB: one read."""

_BLOCK_BITS = BLOCK.bit_length() - 1

_PLACE_BITS = 28
_PLACE = (1 << _PLACE_BITS) - 1

type Run = NDArray[np.uint64]
type Keys = dict[str, int]

NO_RUN: Run = np.empty(0, np.uint64)


class Recent(Struct, frozen=True):
    """Keys that were given one after the other, each with the position that gave it."""

    keys: list[str]
    positions: list[int]


class KnownKeys:
    """Not for two threads at a time."""

    def __init__(self, run: Run = NO_RUN, recent: Iterable[Recent] = ()) -> None:
        self._run = run
        self._recent: Keys = {}
        self._frozen: Keys = {}
        for more in recent:
            self._recent.update(zip(more.keys, more.positions, strict=True))

    @property
    def crowded(self) -> bool:
        """Whether so much is recent that it should be merged into the run."""
        return not self._frozen and len(self._recent) > max(RECENT_LEAST, self._run.size // RECENT_SHARE)

    def get(self, key: str) -> int | None:
        """The position that gave `key`, where that is recent."""
        position = self._recent.get(key)
        return position if position is not None or not self._frozen else self._frozen.get(key)

    def add(self, key: str, position: int) -> None:
        self._recent[key] = position

    def forget(self, key: str) -> None:
        """Undo an `add`."""
        del self._recent[key]

    def places(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Of those that may have been given before what is recent: the first position of each block to look at."""
        if not self._run.size or not keys:
            return {}
        wanted = np.array(_hashes(keys), np.uint64)
        found = self._run.searchsorted(wanted)
        at = self._run.take(found, mode="clip")
        [hits] = np.nonzero((at ^ wanted) >> _PLACE_BITS == 0)
        return {keys[hit]: self._blocks(int(found[hit]), int(wanted[hit])) for hit in hits}

    def freeze(self) -> "Merge":
        """Set apart what is recent, to be merged into the run; until `thaw` it is looked up where it is."""
        self._frozen, self._recent = self._recent, {}
        return Merge(self._run, self._frozen)

    def thaw(self, merged: Run) -> None:
        """Use the run that what was frozen has been merged into."""
        self._run, self._frozen = merged, {}

    def melt(self) -> None:
        """Have what was frozen be recent again."""
        self._recent, self._frozen = self._frozen | self._recent, {}

    def _blocks(self, at: int, wanted: int) -> list[int]:
        blocks = []
        for entry in self._run[at:]:
            if (int(entry) ^ wanted) >> _PLACE_BITS:
                break
            blocks.append((int(entry) & _PLACE) << _BLOCK_BITS)
        return blocks


class Merge:
    """What is recent, to be merged into a run: that takes a while, on any thread."""

    def __init__(self, run: Run, recent: Keys) -> None:
        self._run, self._recent = run, recent

    def run(self) -> Run:
        places = np.fromiter(self._recent.values(), np.uint64, len(self._recent)) >> _BLOCK_BITS
        entries = np.array(_hashes(list(self._recent)), np.uint64) | places
        merged = np.concatenate([self._run, np.unique(entries)])
        merged.sort(kind="stable")  # of two sorted parts it makes one in a single pass
        return merged


def _hashes(keys: Iterable[str]) -> list[int]:
    return [xxh3_64_intdigest(key.encode()) & ~_PLACE for key in keys]
