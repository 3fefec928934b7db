"""A reader of the feed as a process that may be killed at any time: `python -m … FILE KIND QUERY URL...`.

It stores what it has read together with the cursor, one line for each page or event, in one write. A restart goes on
behind the last whole line. KIND is `pages` or `stream`; it reads from one of the URLs, and from another after an error.
A refusal, such as 409, ends the process, which prints the body of the response.
"""

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

PAUSE_SECONDS = 0.1
"""Time before the next attempt after an error."""


class Stored:
    """The file of a reader."""

    def __init__(self, path: Path) -> None:
        """Open the file, without the part of a line that a kill has left."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        content = path.read_bytes()
        os.ftruncate(self._file, content.rfind(b"\n") + 1)
        last = content[: content.rfind(b"\n")].rpartition(b"\n")[2]
        self.through, self.log, _ = msgspec.json.decode(last) if last else (0, "0" * 32, [])

    def store(self, through: int, log: str, items: list[Any]) -> None:
        read = [(item["position"], item["event_id"]) for item in items]
        os.write(self._file, msgspec.json.encode([through, log, read]) + b"\n")
        self.through, self.log = through, log


def read_pages(http: httpx.Client, url: str, query: str, stored: Stored) -> None:
    while True:
        headers = {"Lockstream-Log": stored.log}
        response = http.get(f"{url}/events?after={stored.through}&limit=2000&wait=5{query}", headers=headers)
        response.raise_for_status()
        page = msgspec.json.decode(response.content)
        stored.store(page["through"], page["log"], page["items"])


def read_stream(http: httpx.Client, url: str, query: str, stored: Stored) -> None:
    headers = {"Lockstream-Log": stored.log}
    with http.stream("GET", f"{url}/events/stream?after={stored.through}{query}", headers=headers) as response:
        if response.is_error:
            response.read()
        response.raise_for_status()
        log, block = response.headers["lockstream-log"], dict[str, str]()
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                block[name] = value
            else:
                items = [msgspec.json.decode(block["data"])] if "data" in block else []
                if "id" in block:
                    stored.store(int(block["id"]), log, items)
                block.clear()


def main() -> None:
    file, kind, query, *urls = sys.argv[1:]
    stored = Stored(Path(file))
    read = {"pages": read_pages, "stream": read_stream}[kind]
    with httpx.Client(timeout=60) as http:
        while True:
            try:
                read(http, random.choice(urls), query, stored)
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in (502, 503, 504):
                    sys.exit(error.response.text)
                time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
