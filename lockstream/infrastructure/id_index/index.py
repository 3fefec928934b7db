"""The id index: answers "never used" for nearly every new id without reading the disk.

Nearly every event has an id that was never used before. A database lookup per id costs more the longer the history
is, and a Python set of all ids takes 80 to 150 bytes each. So the index is a log-structured merge tree of two levels:

- The memtable is an exact dict of recent ids. The projection stores it with its rows, in one transaction.
- One sorted run holds all other ids, 8 bytes each: 36 bits of the id's hash, and the number of its log block.
  A lookup searches it for a whole batch at a time. Compaction replaces the run when the memtable exceeds 1/64 of it.

An id takes about 11 bytes in memory, 8 of them mapped from a file. A batch of 1,000 takes 0.5 µs a lookup on two cores.
Two ids may share the 36 bits, so a hit is only a candidate block, and the log decides: with n ids, n / 2^36 of the
lookups read a block without a match, 1 in 70 with a billion ids.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from lockstream.core.entities.state import CompartmentKey

MEMTABLE_MIN = 1 << 16
"""Ids that the memtable may hold beside a run of any size."""

MEMTABLE_SHARE = 64
"""Beyond `MEMTABLE_MIN`, the memtable may hold one id in 64. Each id is then rewritten 64 times, 8 bytes each."""

BLOCK_POSITIONS = 64
"""Positions in one log block: some 20 kB, which is one read."""

_BLOCK_BITS = BLOCK_POSITIONS.bit_length() - 1

DROPPED_PER_ADDED = 2
"""Compacted ids that leave the memtable for each id added. Dropping all at once would stall requests for milliseconds;
at this rate, all are dropped before the next compaction."""

HASHED_AT_ONCE = 500
"""Ids that a compaction hashes before it lets another thread take Python's lock, in 0.1 ms."""

_BLOCK_NUMBER_BITS = 28
_BLOCK_NUMBER = (1 << _BLOCK_NUMBER_BITS) - 1

type SortedRun = NDArray[np.uint64]
"""Entries in ascending order: 36 bits of an id's hash, then 28 bits of its block number."""

type ReadBlock = Callable[[int, int], Mapping[str, int]]

EMPTY_RUN: SortedRun = np.empty(0, np.uint64)


def compartment_id_of(key: CompartmentKey) -> str:
    """Return the entry of a compartment in the index. Identifiers contain no `/`, so it equals no other entry."""
    return f"{key[0]}/{key[1]}"


def reservation_id_of(key: str) -> str:
    """Return the entry of a reservation in the index. Identifiers contain no `/`, so it equals no other entry."""
    return f"/{key}"


class NewIds(Struct, frozen=True):
    """Ids in the order in which they were first used, and the positions of their events."""

    ids: list[str]
    positions: list[Annotated[int, Meta(ge=1)]]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.positions):
            raise ValueError("The numbers of ids and positions differ.")


class IdIndex:
    """The memtable over one sorted run. For one thread."""

    def __init__(self, run: SortedRun = EMPTY_RUN, memtable: Iterable[NewIds] = ()) -> None:
        self.memtable: dict[str, int] = {}
        """Recent ids with the positions of their events. Only `add` may change it."""

        self._run = run
        self._compacting: list[str] = []
        self._compacted: list[str] = []
        for new in memtable:
            self.memtable.update(zip(new.ids, new.positions, strict=True))

    @property
    def needs_compaction(self) -> bool:
        """Whether the memtable is so large that it should be merged into the run."""
        waiting = len(self.memtable) - len(self._compacting) - len(self._compacted)
        return not self._compacting and waiting > max(MEMTABLE_MIN, self._run.size // MEMTABLE_SHARE)

    def add(self, new: Mapping[str, int]) -> None:
        """Add ids with the positions of their events."""
        self.memtable.update(new)
        if self._compacted:
            self._drop_compacted(DROPPED_PER_ADDED * len(new))

    def candidate_blocks(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """Return, for each id that the run may hold, the first positions of the log blocks that may contain it."""
        if not self._run.size or not ids:
            return {}
        wanted = np.array(_hashes(ids), np.uint64)
        found = self._run.searchsorted(wanted)
        entries = self._run.take(found, mode="clip")
        [hits] = np.nonzero((entries ^ wanted) >> _BLOCK_NUMBER_BITS == 0)
        return {ids[hit]: self._blocks(int(found[hit]), int(wanted[hit])) for hit in hits}

    def positions(
        self, ids: Sequence[str], candidates: Mapping[str, list[int]], read_block: ReadBlock
    ) -> dict[str, int]:
        """Return the positions of those event ids that the log holds. `candidates` are their candidate blocks.

        `read_block(first, count)` returns the ids and positions of up to `count` events from position `first` on.
        """
        known = {used: self.memtable[used] for used in ids if used in self.memtable}
        for used in candidates.keys() & ids if candidates else ():
            for first in candidates[used]:
                if (position := read_block(first, BLOCK_POSITIONS).get(used)) is not None:
                    known[used] = position
        return known

    def missing(self, ids: Mapping[str, int]) -> list[str]:
        """Return those of the used `ids` that the index lacks. For `verify`."""
        compacted = [used for used in ids if used not in self.memtable]
        candidates = self.candidate_blocks(compacted)
        return [used for used in compacted if used not in candidates]

    def begin_compaction(self) -> "Compaction":
        """Return the work of merging the memtable into the run. The memtable keeps its ids meanwhile."""
        self._drop_compacted(len(self._compacted))
        self._compacting = list(self.memtable)
        return Compaction(self._run, self._compacting, list(self.memtable.values()))

    def end_compaction(self, run: SortedRun | None) -> None:
        """Use the new run. None means that the compaction failed; nothing changes then."""
        if run is not None:
            self._run, self._compacted = run, self._compacting
        self._compacting = []

    def _drop_compacted(self, count: int) -> None:
        for compacted in self._compacted[-count:]:
            del self.memtable[compacted]
        del self._compacted[-count:]

    def _blocks(self, at: int, wanted: int) -> list[int]:
        blocks = []
        for entry in self._run[at:]:
            if (int(entry) ^ wanted) >> _BLOCK_NUMBER_BITS:
                break
            blocks.append(1 + ((int(entry) & _BLOCK_NUMBER) << _BLOCK_BITS))
        return blocks


class Compaction:
    """The work of merging a memtable into a run. It may be done on any thread."""

    def __init__(self, run: SortedRun, ids: list[str], positions: list[int]) -> None:
        self._run, self._ids, self._positions = run, ids, positions

    def merge(self) -> SortedRun:
        """Return a new run that holds the ids of both."""
        entries: list[SortedRun] = [EMPTY_RUN]
        for first in range(0, len(self._ids), HASHED_AT_ONCE):
            part = slice(first, first + HASHED_AT_ONCE)
            blocks = (np.array(self._positions[part], np.uint64) - 1) >> _BLOCK_BITS  # the first position is 1
            entries.append(np.array(_hashes(self._ids[part]), np.uint64) | blocks.astype(np.uint64))
            time.sleep(0)
        merged = np.concatenate([self._run, np.unique(np.concatenate(entries))])
        merged.sort(kind="stable")  # merges two sorted parts in a single pass
        return merged


def _hashes(ids: Iterable[str]) -> list[int]:
    return [xxh3_64_intdigest(used.encode()) & ~_BLOCK_NUMBER for used in ids]
