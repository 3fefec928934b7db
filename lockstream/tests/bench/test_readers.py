"""The readers of a network, on a real server: each of their paths exists, and latencies are counted by kind."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from bench.errors import BenchFailure
from bench.groups.lists import READERS
from bench.load.generator import latencies_by_kind
from bench.load.network import PER_LOCKER, Network
from bench.load.plan import Plan, Reader
from bench.load.process import run_load
from bench.load.readers import Kind, Targets, readers
from bench.processes import Lockstream, run

NETWORK = Network("n", 50)


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    return list(NETWORK.events())


@pytest.fixture(scope="module")
def targets(events: list[bytes]) -> Targets:
    return Targets(NETWORK, len(events), "2126-11-23T08:15:00Z")


@pytest.fixture(scope="module")
def server(events: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lockstream]:
    """Give a server that has accepted all events of the network."""
    folder = tmp_path_factory.mktemp("network")
    file, log = folder / "events.ndjson", folder / "log.jsonl"
    file.write_bytes(b"\n".join(events))
    run("-m", "lockstream", "import", str(file), EVENT_LOG_PATH=str(log))
    with Lockstream(log) as running:
        running.wait_for_reads()
        yield running
        running.stop()


def reading(all_readers: list[Reader]) -> Plan:
    """Return the plan of a load in which each reader reads its paths, one after the other."""
    requests = sum(len(reader.paths) for reader in all_readers)
    return Plan(tag="", kind="get", connections=len(all_readers), readers=all_readers, events=requests)


@pytest.mark.parametrize("kind", Kind)
def test_every_path_of_a_reader_is_answered(server: Lockstream, targets: Targets, kind: Kind) -> None:
    # given the readers of one kind, with more paths than there are different ones
    of_kind = [reader for reader in readers(targets, 10, 30, Random(1)) if reader.kind == kind]
    # when they read
    result = run_load(reading(of_kind), server)
    # then each path was answered with 200
    assert result.requests == 30 * len(of_kind)
    assert list(result.p99_by_kind) == [kind]


def test_readers_read_single_subjects_and_lists_more_often_than_the_past(targets: Targets) -> None:
    kinds = Counter(reader.kind for reader in readers(targets, READERS, 1, Random(1)))
    assert kinds == {Kind.SUBJECTS: 15, Kind.LISTS: 15, Kind.HISTORIES: 10, Kind.PAST: 10}


def test_readers_read_the_same_paths_if_chance_is_the_same(targets: Targets) -> None:
    first, again, other = (readers(targets, 10, 5, Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_past_state_is_one_behind_all_registrations(targets: Targets) -> None:
    paths = [path for reader in readers(targets, 10, 50, Random(1)) for path in reader.paths if "?at=" in path]
    positions = [int(path.partition("?at=")[2]) for path in paths]
    assert NETWORK.lockers * PER_LOCKER <= min(positions) < max(positions) <= targets.events


def test_a_reader_that_gets_another_status_ends_the_load_and_names_the_path(server: Lockstream) -> None:
    with pytest.raises(
        BenchFailure, match=r"to GET /lockers/unknown/state HTTP/1\.1 was unexpected: 404 instead of 200"
    ):
        run_load(reading([Reader("single subjects", ["/lockers/unknown/state"])]), server)


def test_events_of_spare_compartments_are_accepted_while_others_read(server: Lockstream) -> None:
    for turn in range(2):
        plan = Plan(tag="", kind="event", connections=4, network=NETWORK, turn=turn, turns=2, events=40)
        assert run_load(plan, server).requests == 40


def test_latencies_are_evaluated_by_the_kind_of_their_reader() -> None:
    two_kinds = [Reader("lists", []), Reader("histories", []), Reader("lists", [])]
    latencies = [(0.1, 0), (0.2, 2), (0.5, 1), (0.4, 1), (0.3, 0)]
    assert latencies_by_kind(two_kinds, latencies) == {"lists": [0.1, 0.2, 0.3], "histories": [0.5, 0.4]}


def test_a_kind_without_a_response_has_no_figure() -> None:
    with pytest.raises(BenchFailure, match="to the readers of histories"):
        latencies_by_kind([Reader("lists", []), Reader("histories", [])], [(0.1, 0)])
