"""The Python reader of docs/feed.md, as a process, while the server is killed and started again."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.postgres import free_port
from lockstream.tests.support.builders import registered
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import Server, command, environment, wait_until

FEED = (Path(__file__).parents[3] / "docs/feed.md").read_text()
[READER] = re.findall(r"^```python\n(.*?)^```$", FEED, re.DOTALL | re.MULTILINE)
PRINT_POSITIONS = """
for items, through, log in follow(0, None):
    for item in items:
        print(item["position"], flush=True)
"""


@contextmanager
def positions_read(log_path: Path, port: int, key: str) -> Iterator[Iterator[int]]:
    """Run the reader, and give the positions of the events that it reads."""
    address = "http://127.0.0.1:8000"
    assert READER.count(address) == 1
    program = READER.replace(address, f"http://127.0.0.1:{port}") + PRINT_POSITIONS
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(log_path, LOCKSTREAM_API_KEY=key),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield map(int, process.stdout)
        finally:
            process.kill()


def test_the_reader_of_the_page_reads_each_event_once_over_a_kill_of_the_server(log_path: Path) -> None:
    # given a reader with a key that has read the first events
    with Server(log_path, LOCKSTREAM_PORT=str(free_port())).start() as server:
        created = command(log_path, "keys", "create", "reader", "--scope=feed", "--scope=events:write")
        key = created.stdout.decode().strip()
        wait_until(lambda: server.get("/events?after=0")[0] == 401)
        with positions_read(log_path, server.port, key) as positions:
            post(server, key, range(2))
            assert list(islice(positions, 2)) == [1, 2]
            # when the server is killed and started again, and accepts further events
            server.kill()
            server.listen()
            wait_until(lambda: server.get("/health/ready")[0] == 200)
            post(server, key, range(2, 5))
            # then the reader reads them, and none twice
            assert list(islice(positions, 3)) == [3, 4, 5]


def post(server: Server, key: str, numbers: range) -> None:
    for number in numbers:
        body = json.dumps(registered(f"c{number}")).encode()
        assert server.request("POST", "/events", body, bearer(key))[0] == 202
