"""The disk alone: `python -m bench.peers.disk LOG FILE LINES SECONDS RATE` appends lines of `LOG` to `FILE`.

`LINES` are flushed together, `RATE` times a second, or without a pause if `RATE` is 0.
"""

import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import msgspec

from bench.figures import percentile


class Flushes(msgspec.Struct, frozen=True):
    lines_per_second: float
    p50: float
    """Median time of a write and its flush, in seconds."""
    p99: float


def main() -> None:
    log, file, lines, seconds, rate = Path(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:])
    with log.open("rb") as source:
        endless = cycle(list(islice(source, 20_000)))
    fd = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    times: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        if rate:
            time.sleep(max(0, started + len(times) / rate - time.perf_counter()))
        data = b"".join(islice(endless, int(lines)))
        start = time.perf_counter()
        os.write(fd, data)
        os.fdatasync(fd)
        times.append(time.perf_counter() - start)
    flushes = Flushes(len(times) * lines / (time.perf_counter() - started), median(times), percentile(times, 0.99))
    sys.stdout.buffer.write(msgspec.json.encode(flushes))


if __name__ == "__main__":
    main()
