"""Find the line of a position in a log file, by interpolation between lines whose offsets are known.

Each read of the file gives up Python's lock, and gets it back after up to 0.5 ms under load (docs/decisions/0011). So a
search reads few parts of the file, each with several lines: 1.1 parts for each event on a page of a locker's history,
in the log of `python -m bench lists`.
"""

import os
from collections.abc import Iterator, Sequence
from operator import itemgetter

from msgspec import Struct

from lockstream.core.entities.log import START, Cursor
from lockstream.infrastructure.codec.log_line import claimed_end, claimed_position

PART_BYTES = 4 * 1024
"""Bytes that are read at a time. Most lines have 300 to 400."""

_INTERPOLATIONS = 8
"""Guesses by interpolation, before bisection, which converges even if the lengths of lines vary too much."""

_GROWTH = 4
"""Factor by which a part grows that was too small."""

_POSITION_BYTES = len('{"position":') + 20

type Bound = tuple[int, int]
"""The position and the offset at which a line begins. The end of a log is where its next line would begin."""

LOG_START: Bound = 1, 0
_OFFSET = itemgetter(1)


class MissingLine(LookupError):
    """Raised when a log file lacks the line of a position."""

    def __init__(self, position: int) -> None:
        super().__init__(f"no line has position {position}")
        self.position = position


class FoundLine(Struct, frozen=True):
    """A line of a log file, and the line before it, which has the chain value that the line is checked against."""

    position: int
    start: int
    """Offset of the line."""

    text: bytes
    before: bytes
    """The line before. Empty before the first line of a log."""

    @property
    def bound(self) -> Bound:
        """The beginning of the line, as a bound of other searches."""
        return self.position, self.start

    @property
    def after(self) -> Cursor:
        """The end of the line before, as that line claims it. Raises InvalidLine if that line is not a record."""
        return claimed_end(self.before, self.start) if self.start else START


def find_line(file: int, position: int, first: Bound, last: Bound) -> FoundLine | None:
    """Return the line of `position`, unchecked, or None if the file was altered and lacks this line.

    `first` is the beginning of a line at this position or before it, and `last` is the end of a line at this position
    or after it. The search is short if they are near.

    Raises:
        OSError: the file cannot be read.
    """
    size, guesses = PART_BYTES, 0
    while first[0] <= position < last[0] and first[1] < last[1]:
        share = (position - first[0]) / (last[0] - first[0]) if guesses < _INTERPOLATIONS else 0.5
        guesses += 1
        bounds = first, last
        begin = max(0, first[1] + int((last[1] - first[1]) * share) - size // 2)
        wanted = min(size, last[1] - begin)
        content = os.pread(file, wanted, begin)
        if len(content) < wanted:  # the file was truncated
            last = last[0], begin + len(content)
        head, tail = content.find(b"\n") + 1 if begin else 0, content.rfind(b"\n") + 1
        if head < tail:  # a complete line, or more of them
            try:
                number = claimed_position(content[head : head + _POSITION_BYTES])
            except ValueError:
                return None
            next_number = number + content.count(b"\n", head, tail)
            if number < position < next_number or position == number == 1:
                return _nth_line(content[head:tail], position - number, position, begin + head)
            if position < number:
                last = min(last, (number, begin + head), key=_OFFSET)
            elif position == number:  # the part lacks the line before; the next part begins earlier
                first = max(first, (number, begin + head), key=_OFFSET)
            else:
                first = max(first, (next_number, begin + tail), key=_OFFSET)
        if (first, last) == bounds:  # a line is longer than the part
            if begin + len(content) >= last[1] and (begin == 0 or begin + head < first[1]):
                return None
            size *= _GROWTH
    return None


def find_lines(file: int, positions: Sequence[int], first: Bound, last: Bound) -> Iterator[FoundLine]:
    """Yield the lines of ascending positions, not in this order.

    The middle line is found first. It bounds the search for the lines on either side.

    Raises:
        MissingLine: the file was altered and lacks one of the lines.
        OSError: the file cannot be read.
    """
    if not positions:
        return
    middle = len(positions) // 2
    line = find_line(file, positions[middle], first, last)
    if line is None:
        raise MissingLine(positions[middle])
    yield line
    yield from find_lines(file, positions[:middle], first, line.bound)
    yield from find_lines(file, positions[middle + 1 :], line.bound, last)


def _nth_line(lines: bytes, index: int, position: int, offset: int) -> FoundLine | None:
    """Return one of the lines from `offset` on, or None if the file was altered and the line has another position."""
    texts = lines.split(b"\n", index + 1)
    before = texts[index - 1] + b"\n" if index else b""
    text = texts[index] + b"\n"
    try:
        is_found = claimed_position(text) == position
    except ValueError:
        return None
    return FoundLine(position, offset + len(lines) - len(texts[-1]) - len(text), text, before) if is_found else None
