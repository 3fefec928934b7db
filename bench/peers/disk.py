"""The disk alone: `python -m bench.peers.disk LOG FILE LINES SECONDS RATE` appends the lines of `LOG` to `FILE`.

So many lines are flushed together, as fast as it goes or, where `RATE` is not 0, so many times a second. It tells the
lines a second and the median of the seconds that a write and its flush took.
"""

import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import msgspec


class Flushed(msgspec.Struct, frozen=True):
    lines_a_second: float
    p50: float


def main() -> None:
    log, file, lines, seconds, rate = Path(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:])
    with log.open("rb") as source:
        some = cycle(list(islice(source, 20_000)))
    fd = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    took: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if rate:
            time.sleep(max(0, began + len(took) / rate - time.perf_counter()))
        data = b"".join(islice(some, int(lines)))
        start = time.perf_counter()
        os.write(fd, data)
        os.fdatasync(fd)
        took.append(time.perf_counter() - start)
    rate = len(took) * lines / (time.perf_counter() - began)
    sys.stdout.buffer.write(msgspec.json.encode(Flushed(rate, median(took))))


if __name__ == "__main__":
    main()
