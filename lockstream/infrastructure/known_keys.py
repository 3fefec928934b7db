"""Which keys were ever given: says of nearly every new one "surely new", without a look at the disk.

Nearly every event bears an id that was never seen before. To ask a database each time costs more the longer the
history is, and so does an index that is written at random places; a set of the ids in memory costs 80 to 150 bytes
each. So there are two tiers, as in any log-structured index:

- what is recent, exact, in a dict; kept in the projection, appended to with its rows, in one transaction;
- the rest as one sorted array, eight bytes a key: 36 bits of its hash and the block of 64 positions that gave it. It
  is searched for a whole batch at a time, and lives in a file of its own that is only ever replaced as a whole, when
  what is recent has become a sixty-fourth of it.

That is some 11 bytes a key in memory, eight of them a file's that can be had back, and 0.7 µs for a look-up, at any
size. Two keys may share the 36 bits, so what is found is a place to look, and the log decides: of n keys n / 2^36 are
looked for in vain, one in 70 with a billion.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

RECENT_LEAST = 1 << 16
"""So many keys may be recent in any case."""

RECENT_SHARE = 64
"""Beyond that, one in so many. The file is written anew each time: so many times eight bytes for each key."""

BLOCK = 64
"""The log is looked at in blocks of so many positions, some 20 kB: one read."""

_BLOCK_BITS = BLOCK.bit_length() - 1

FORGOTTEN_FOR_EACH = 2
"""So many merged keys are let go of for each that is given: all at once would hold up requests for some milliseconds,
and this way all are gone before the next merge."""

HASHED_IN_ONE_GO = 500
"""Keys: after so many, a merge lets another thread have Python's lock, in 0.1 ms."""

_PLACE_BITS = 28
_PLACE = (1 << _PLACE_BITS) - 1

type Run = NDArray[np.uint64]

NO_RUN: Run = np.empty(0, np.uint64)


def compartment_key(key: tuple[str, str]) -> str:
    """How a compartment stands among the known keys. No identifier holds a `/`, so it is like no other key."""
    return f"{key[0]}/{key[1]}"


def reservation_key(key: str) -> str:
    """How a reservation stands among them."""
    return f"/{key}"


class Recent(Struct, frozen=True):
    """Keys that were given one after the other, each with the position that gave it."""

    keys: list[str]
    positions: list[Annotated[int, Meta(ge=1)]]

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.positions):
            raise ValueError("as many positions as keys")


class KnownKeys:
    """Not for two threads at a time."""

    def __init__(self, run: Run = NO_RUN, recent: Iterable[Recent] = ()) -> None:
        self.recent: dict[str, int] = {}
        """Keys with the position that gave them. To be changed by `add` alone."""

        self._run = run
        self._merging: list[str] = []
        self._merged: list[str] = []
        for more in recent:
            self.recent.update(zip(more.keys, more.positions, strict=True))

    @property
    def crowded(self) -> bool:
        """Whether so much is recent that it should be merged into the run."""
        waiting = len(self.recent) - len(self._merging) - len(self._merged)
        return not self._merging and waiting > max(RECENT_LEAST, self._run.size // RECENT_SHARE)

    def add(self, given: Mapping[str, int]) -> None:
        """Some keys were given, each with the position that gave it."""
        self.recent.update(given)
        if self._merged:
            self._forget(FORGOTTEN_FOR_EACH * len(given))

    def places(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Of those that may have been given before what is recent: the first position of each block to look at."""
        if not self._run.size or not keys:
            return {}
        wanted = np.array(_hashes(keys), np.uint64)
        found = self._run.searchsorted(wanted)
        at = self._run.take(found, mode="clip")
        [hits] = np.nonzero((at ^ wanted) >> _PLACE_BITS == 0)
        return {keys[hit]: self._blocks(int(found[hit]), int(wanted[hit])) for hit in hits}

    def lacking(self, given: Mapping[str, int]) -> list[str]:
        """Of the keys that were given, with their positions, those that would be taken for new."""
        places = self.places([key for key in given if key not in self.recent])
        return [key for key in given if key not in self.recent and key not in places]

    def begin_merge(self) -> "Merge":
        """What is recent now, to be merged into the run. It stays recent until that is done."""
        self._forget(len(self._merged))
        self._merging = list(self.recent)
        return Merge(self._run, self._merging, list(self.recent.values()))

    def end_merge(self, merged: Run | None) -> None:
        """Use the run that has come of it; where there is none, all stays as it was."""
        if merged is not None:
            self._run, self._merged = merged, self._merging
        self._merging = []

    def _forget(self, count: int) -> None:
        for key in self._merged[-count:]:
            del self.recent[key]
        del self._merged[-count:]

    def _blocks(self, at: int, wanted: int) -> list[int]:
        blocks = []
        for entry in self._run[at:]:
            if (int(entry) ^ wanted) >> _PLACE_BITS:
                break
            blocks.append(1 + ((int(entry) & _PLACE) << _BLOCK_BITS))
        return blocks


class Merge:
    """What is recent, to be merged into a run: that takes a while, on any thread."""

    def __init__(self, run: Run, keys: list[str], positions: list[int]) -> None:
        self._run, self._keys, self._positions = run, keys, positions

    def run(self) -> Run:
        entries: list[Run] = [NO_RUN]
        for first in range(0, len(self._keys), HASHED_IN_ONE_GO):
            part = slice(first, first + HASHED_IN_ONE_GO)
            places = (np.array(self._positions[part], np.uint64) - 1) >> _BLOCK_BITS  # the first position is 1
            entries.append(np.array(_hashes(self._keys[part]), np.uint64) | places.astype(np.uint64))
            time.sleep(0)
        merged = np.concatenate([self._run, np.unique(np.concatenate(entries))])
        merged.sort(kind="stable")  # of two sorted parts it makes one in a single pass
        return merged


def _hashes(keys: Iterable[str]) -> list[int]:
    return [xxh3_64_intdigest(key.encode()) & ~_PLACE for key in keys]
