"""Read a log and decode each of its lines, and nothing else: `python -m bench.peers.decode LOG`."""

import sys
from pathlib import Path

import msgspec


def main() -> None:
    decode = msgspec.json.Decoder().decode
    with Path(sys.argv[1]).open("rb") as log:
        for line in log:
            decode(line)


if __name__ == "__main__":
    main()
