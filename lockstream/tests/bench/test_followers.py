"""The readers of the feed that the benchmark measures, on a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import BenchFailure
from bench.load.followers import Streams, catch_up
from bench.load.plan import registrations
from bench.load.process import run_load
from bench.processes import Lockstream

STREAMS = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Lockstream]:
    with Lockstream(tmp_path / "log.jsonl", LOCKSTREAM_STREAM_LIMIT=f"{STREAMS}") as server:
        run_load(registrations("first", 2, 6_000), server)
        yield server


def test_a_reader_catches_up_page_by_page(server: Lockstream) -> None:
    assert catch_up(server, 1) > 0


def test_a_reader_of_an_empty_log_fails(tmp_path: Path) -> None:
    with (
        Lockstream(tmp_path / "empty.jsonl") as server,
        pytest.raises(BenchFailure, match=r"after=0&limit=10000: 200 with 0 events"),
    ):
        catch_up(server, 1)


def test_streams_receive_the_events_that_are_accepted_while_they_are_open(server: Lockstream) -> None:
    with Streams(server, STREAMS) as streams:
        # when events are accepted, then the streams receive at least as many bytes as all of them need
        run_load(registrations("second", 2, 500), server)
        lines = [line for line in server.log.read_bytes().splitlines() if b'"second-' in line]
        wanted = STREAMS * sum(map(len, lines))
        assert len(lines) == 1_000
        assert streams.result(wanted).amount >= wanted


def test_a_stream_that_is_refused_fails(server: Lockstream) -> None:
    with pytest.raises(BenchFailure, match=r"A stream did not begin: .*503"):
        Streams(server, STREAMS + 1)
