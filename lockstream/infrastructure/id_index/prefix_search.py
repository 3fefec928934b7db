"""Search a sorted run for event ids by their beginning. Entries name log blocks, and the log has the ids."""

from itertools import groupby

from lockstream.core.entities.fields import uuid_range
from lockstream.infrastructure.id_index.index import (
    BLOCK_NUMBER,
    BLOCK_NUMBER_BITS,
    BLOCK_POSITIONS,
    IdIndex,
    ReadBlock,
    Section,
    SortedRun,
    first_at,
    first_position,
)

SEARCHED_BLOCKS = 256
"""Log blocks that one search reads at most: 16,384 events, in 30 ms.

A search for 20 random ids reads some 20 blocks. Ids that begin with a time share their first 36 bits with the ids of
four seconds, and the limit is enough for 4,000 such events a second.
"""


def find_events(run: SortedRun, prefix: str, limit: int, read_block: ReadBlock) -> dict[str, int]:
    """Return the ids and positions of events in `run` whose ids begin with `prefix`, a result of `uuid_prefix`.

    The result includes the first `limit` of these ids. Some may be missing if more than `SEARCHED_BLOCKS` blocks would
    have to be read for these. A whole id is always found.

    `read_block(first, count)` returns the ids and positions of up to `count` events from position `first` on.
    """
    lowest, highest = uuid_range(prefix)
    if lowest == highest:
        ids = IdIndex(run)
        return ids.positions([prefix], ids.candidate_blocks([prefix]), read_block)
    found: dict[str, int] = {}
    entries = _entries_between(run.prefixes, _first_bits(lowest), _first_bits(highest))
    for bits, of_same_bits in groupby(entries, lambda entry: entry >> BLOCK_NUMBER_BITS):
        for entry in of_same_bits:
            block = read_block(first_position(entry), BLOCK_POSITIONS)
            found.update((used, position) for used, position in block.items() if lowest <= used <= highest)
        if sum(_first_bits(used) <= bits for used in found) >= limit:  # all other ids follow these
            break
    return found


def _entries_between(section: Section, first_bits: int, last_bits: int) -> list[int]:
    """Return the first entries from `first_bits` through `last_bits`, up to `SEARCHED_BLOCKS`."""
    lower, upper = first_bits << BLOCK_NUMBER_BITS, last_bits << BLOCK_NUMBER_BITS | BLOCK_NUMBER
    first = first_at(section, lower)
    entries: list[int] = section[first : first + SEARCHED_BLOCKS].tolist()
    return [entry for entry in entries if entry <= upper]


def _first_bits(event_id: str) -> int:
    """Return the first 36 bits of an event id: nine hexadecimal digits."""
    return int(event_id[:8] + event_id[9], 16)
