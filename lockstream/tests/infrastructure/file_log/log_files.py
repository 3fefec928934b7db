"""Log files whose lines have any lengths."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from lockstream.core.entities.log import START, Cursor
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.tests.support.builders import RECORDED_AT, event, registered

LENGTHS = st.one_of(st.just(1), st.integers(1, 400), st.integers(1, 9_000), st.just(80_000))
"""Of a note in an event, in bytes. Some lines are longer than one read of the file."""

UNEQUAL_LENGTHS = {
    "equal": [1] * 500,
    "long first": [200_000, *[1] * 300],
    "long last": [*[1] * 300, 200_000],
    "long in the middle": [*[1] * 150, 200_000, *[1] * 150],
    "alternating": [1, 3_000] * 100,
    "growing": [2**number for number in range(18)],
    "shrinking": [2**number for number in reversed(range(18))],
}


@contextmanager
def written(path: Path, lengths: list[int]) -> Iterator[tuple[int, list[str], Cursor]]:
    """Write a log of events with notes of these lengths; give the open file, the ids in order, and the end."""
    events = [event(registered(str(number), note="x" * length)) for number, length in enumerate(lengths)]
    lines, end = encode_lines(events, RECORDED_AT, START)
    path.write_bytes(b"".join(lines))
    file = os.open(path, os.O_RDONLY)
    try:
        yield file, [one.event_id for one in events], end
    finally:
        os.close(file)
