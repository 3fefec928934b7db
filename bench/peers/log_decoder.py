"""Reads a log and decodes the JSON of each line: `python -m bench.peers.log_decoder LOG`."""

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
