"""The id index: answers "never used" for nearly every new id without reading the disk.

Nearly every event has an id that was never used before. A database lookup per id costs more the longer the history
is, and a Python set of all ids takes 80 to 150 bytes each. So the index is a log-structured merge tree of two levels:

- The memtable is an exact dict of recent ids. The projection stores it with its rows, in one transaction.
- One sorted run holds all other ids, 8 bytes each: 36 bits of the id's hash, and the number of its log block.
  A lookup searches it for a whole batch at a time. Compaction replaces the run when the memtable exceeds 1/64 of it.

A second section of the run has the first 36 bits of event ids in place of the hash, for searches by the beginning of
an id (`prefix_search`). It stays in the file.

An id takes about 11 bytes in memory, 8 of them mapped from a file. A batch of 1,000 takes 0.5 µs a lookup on two cores.
Two ids may share the 36 bits, so a hit is only a candidate block, and the log decides: with n ids, n / 2^36 of the
lookups read a block without a match, 1 in 70 with a billion ids.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from lockstream.core.entities.state import CompartmentKey

MEMTABLE_MIN = 1 << 16
"""Ids that the memtable may hold beside a run of any size."""

MEMTABLE_SHARE = 64
"""Beyond `MEMTABLE_MIN`, the memtable may hold one id for this many in the run. Each id is then written 64 times."""

BLOCK_POSITIONS = 64
"""Positions in one log block: some 20 kB, which is one read."""

_BLOCK_BITS = BLOCK_POSITIONS.bit_length() - 1

DROPPED_PER_ADDED = 2
"""Compacted ids that leave the memtable for each id added. Dropping all at once would stall requests for milliseconds;
at this rate, all are dropped before the next compaction."""

HASHED_AT_ONCE = 500
"""Ids that a compaction hashes before it lets another thread take Python's lock, in 0.2 ms."""

MERGED_AT_ONCE = 1 << 17
"""Entries that a compaction merges at a time: 1 MiB."""

BLOCK_NUMBER_BITS = 28
"""Low bits of an entry, for the number of a log block: enough for 17 billion events."""

BLOCK_NUMBER = (1 << BLOCK_NUMBER_BITS) - 1

type Entries = NDArray[np.uint64]
"""Entries: 36 bits of an id or of its hash, then 28 bits of a block number."""

type ReadBlock = Callable[[int, int], Mapping[str, int]]

_NO_ENTRIES: Entries = np.empty(0, np.uint64)


class Section(Protocol):
    """Entries in ascending order, in memory or in a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Entries: ...


class SortedRun(NamedTuple):
    """All ids that are not in the memtable."""

    hashes: Entries
    """An entry for each id, by 36 bits of its hash."""

    prefixes: Section
    """An entry for each log block and each 36 bits that an event id in it begins with."""


EMPTY_RUN = SortedRun(_NO_ENTRIES, _NO_ENTRIES)


def compartment_id_of(key: CompartmentKey) -> str:
    """Return the entry of a compartment in the index. Identifiers contain no `/`, so it equals no other entry."""
    return f"{key[0]}/{key[1]}"


def reservation_id_of(key: str) -> str:
    """Return the entry of a reservation in the index. Identifiers contain no `/`, so it equals no other entry."""
    return f"/{key}"


def is_event_id(entry: str) -> bool:
    """Return whether an entry in the index is the id of an event, and not that of a compartment or a reservation."""
    return "/" not in entry


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
        return not self._compacting and waiting > max(MEMTABLE_MIN, self._run.hashes.size // MEMTABLE_SHARE)

    @property
    def run_size(self) -> int:
        """Number of ids in the run."""
        return int(self._run.hashes.size)

    def add(self, new: Mapping[str, int]) -> None:
        """Add ids with the positions of their events."""
        self.memtable.update(new)
        if self._compacted:
            self._drop_compacted(DROPPED_PER_ADDED * len(new))

    def candidate_blocks(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """Return, for each id that the run may hold, the first positions of the log blocks that may contain it."""
        hashes = self._run.hashes
        if not hashes.size or not ids:
            return {}
        wanted = np.array(_hashes(ids), np.uint64)
        found = hashes.searchsorted(wanted)
        entries = hashes.take(found, mode="clip")
        [hits] = np.nonzero((entries ^ wanted) >> BLOCK_NUMBER_BITS == 0)
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
        """Return those of the used `ids` that the index lacks, for `verify`.

        The memtable must hold an id, or both sections of the run must. The prefixes in the run are read from the lowest
        to the highest of `ids`. So a caller with many ids should pass them in order, a part at a time.
        """
        compacted = {used: position for used, position in ids.items() if used not in self.memtable}
        candidates = self.candidate_blocks(list(compacted))
        events = [used for used in compacted if is_event_id(used)]
        wanted = _prefixes(events) | _block_numbers([compacted[used] for used in events])
        prefixes = self._run.prefixes
        lowest, highest = (int(wanted.min()), int(wanted.max())) if events else (0, 0)
        part = prefixes[first_at(prefixes, lowest) : first_at(prefixes, highest + 1)]
        without_prefix = set(compress(events, ~np.isin(wanted, part)))
        return [used for used in compacted if used not in candidates or used in without_prefix]

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

    def close(self) -> None:
        """Close the file of the run. The index cannot be used any more."""
        del self._run  # closes the file at once: the index itself may wait for the garbage collector

    def _drop_compacted(self, count: int) -> None:
        for compacted in self._compacted[-count:]:
            del self.memtable[compacted]
        del self._compacted[-count:]

    def _blocks(self, at: int, wanted: int) -> list[int]:
        blocks = []
        for entry in self._run.hashes[at:]:
            if (int(entry) ^ wanted) >> BLOCK_NUMBER_BITS:
                break
            blocks.append(first_position(int(entry)))
        return blocks


class Compaction:
    """The work of merging a memtable into a run. It may be done on any thread."""

    def __init__(self, run: SortedRun, ids: list[str], positions: list[int]) -> None:
        self._run, self._ids, self._positions = run, ids, positions

    def merge(self) -> tuple[Iterator[Entries], Iterator[Entries]]:
        """Return the hashes and the prefixes of a new run that holds the ids of both.

        Each section comes in parts, so that a long run is never in memory as a whole.
        """
        hashes, prefixes = [_NO_ENTRIES], [_NO_ENTRIES]
        for first in range(0, len(self._ids), HASHED_AT_ONCE):
            ids = self._ids[first : first + HASHED_AT_ONCE]
            blocks = _block_numbers(self._positions[first : first + HASHED_AT_ONCE])
            hashes.append(np.array(_hashes(ids), np.uint64) | blocks)
            are_events = list(map(is_event_id, ids))
            prefixes.append(_prefixes(compress(ids, are_events)) | blocks[are_events])
            time.sleep(0)
        return _merged(self._run.hashes, hashes), _merged(self._run.prefixes, prefixes)


def first_at(section: Section, entry: int) -> int:
    """Return the index of the first entry in a section that is not below `entry`."""
    return bisect_left(range(len(section)), entry, key=lambda at: int(section[at : at + 1][0]))


def first_position(entry: int) -> int:
    """Return the first position of the log block that an entry names."""
    return 1 + ((entry & BLOCK_NUMBER) << _BLOCK_BITS)


def _block_numbers(positions: Sequence[int]) -> Entries:
    return ((np.array(positions, np.uint64) - 1) >> _BLOCK_BITS).astype(np.uint64)  # the first position is 1


def _hashes(ids: Iterable[str]) -> list[int]:
    """Return an entry for each id, by its hash, with block number 0."""
    return [xxh3_64_intdigest(used.encode()) & ~BLOCK_NUMBER for used in ids]


def _prefixes(event_ids: Iterable[str]) -> Entries:
    """Return an entry for each event id, by its first 36 bits, with block number 0."""
    halves = np.frombuffer(bytes.fromhex("".join(event_ids).replace("-", "")), ">u8")
    return (halves[::2] >> BLOCK_NUMBER_BITS << BLOCK_NUMBER_BITS).astype(np.uint64)


def _merged(older: Section, newer: list[Entries]) -> Iterator[Entries]:
    """Yield the entries of `older` and `newer` in ascending order, each entry once."""
    rest = np.concatenate(newer)
    rest.sort()
    for first in range(0, len(older), MERGED_AT_ONCE):
        part = older[first : first + MERGED_AT_ONCE]
        end = rest.searchsorted(part[-1], "right")
        merged = np.concatenate([part, rest[:end]])
        merged.sort(kind="stable")  # merges two sorted parts in a single pass
        yield _distinct(merged)
        rest = rest[end:]
    if rest.size:
        yield _distinct(rest)


def _distinct(entries: Entries) -> Entries:
    """Return sorted entries, each once. `np.unique` takes 50 times as long (NumPy 2.5)."""
    is_repeated = entries[1:] == entries[:-1]
    return np.concatenate([entries[:1], entries[1:][~is_repeated]])
