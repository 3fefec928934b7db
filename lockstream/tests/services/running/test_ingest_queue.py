"""The ingest queue: turns between keys, the order of each key's requests, and room for everybody."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Struct

from lockstream.core.errors import QueueFull
from lockstream.services.running.ingest_queue import IngestQueue

WEIGHT_BYTES = 1_000
BATCH_LIMIT = 250


class Request(Struct):
    """Some events of a key, all with texts of the same length."""

    key_id: str
    count: int = 1
    number: int = 0
    length: int = 10

    @property
    def texts(self) -> Sequence[bytes]:
        return [b"x" * self.length] * self.count


def queue_of(limit: int, *requests: Request) -> IngestQueue[Request]:
    queue: IngestQueue[Request] = IngestQueue(limit, WEIGHT_BYTES)
    for request in requests:
        queue.push(request)
    return queue


def numbered(key_id: str, counts: Sequence[int]) -> list[Request]:
    return [Request(key_id, count, number) for number, count in enumerate(counts)]


def pushed_until_full(queue: IngestQueue[Request], request: Request) -> int:
    """Push a request again and again until it is refused; return how many events the queue took."""
    taken = 0
    while True:
        try:
            queue.push(request)
        except QueueFull:
            return taken
        taken += request.count


def batches(queue: IngestQueue[Request], limit: int = BATCH_LIMIT) -> list[list[Request]]:
    """Take all batches, and free their room."""
    taken = []
    while batch := queue.next_batch(limit):
        queue.release(batch)
        taken.append(batch)
    return taken


@pytest.mark.parametrize("key", ["", "aaaaaaaa"])
def test_one_caller_is_served_in_order_and_in_full_batches(key: str) -> None:
    requests = numbered(key, [100, 100, 100, 1, 249, 250, 300, 0, 1])
    queue = queue_of(10_000, *requests)
    assert [[request.number for request in batch] for batch in batches(queue)] == [
        [0, 1],
        [2, 3],
        [4],
        [5],
        [6],
        [7, 8],
    ]
    assert (queue.queued, queue.waiting, queue.is_empty) == (0, 0, True)


def test_a_large_text_counts_as_several_events() -> None:
    queue = queue_of(10_000, *[Request("aaaaaaaa", 1, number, length=100 * WEIGHT_BYTES) for number in range(5)])
    assert [len(batch) for batch in batches(queue)] == [2, 2, 1]


def test_a_quiet_key_does_not_wait_behind_the_events_of_another() -> None:
    # given a key with 40 chunks of a batch in the queue
    queue = queue_of(20_000, *numbered("flooding", [250] * 40))
    # when another key sends one event
    queue.push(Request("quiet"))
    # then that is in one of the next two batches
    first, second = queue.next_batch(BATCH_LIMIT), queue.next_batch(BATCH_LIMIT)
    assert "quiet" in {request.key_id for request in [*first, *second]}


def test_keys_have_as_many_events_decided_each_whatever_their_requests_are() -> None:
    queue = queue_of(200_000, *numbered("chunks", [250] * 40), *numbered("singles", [1] * 10_000))
    decided = Counter[str]()
    for _ in range(30):
        for request in queue.next_batch(BATCH_LIMIT):
            decided[request.key_id] += request.count
    assert abs(decided["chunks"] - decided["singles"]) <= 500


def test_a_caller_without_a_key_may_fill_the_queue() -> None:
    queue = queue_of(1_000)
    assert pushed_until_full(queue, Request("")) == 1_000
    assert queue.is_full
    with pytest.raises(QueueFull, match="The ingest queue is full"):
        queue.push(Request("quiet"))


def test_a_key_that_floods_the_queue_leaves_room_for_others() -> None:
    queue = queue_of(1_000)
    # when keys flood the queue one after the other, then each leaves room for the next
    taken = [pushed_until_full(queue, Request(f"key-{number}")) for number in range(5)]
    assert taken == [500, 250, 125, 63, 31]
    assert not queue.is_full
    queue.push(Request("quiet", 30))


def test_keys_that_flood_the_queue_at_once_get_equal_parts_and_another_one_finds_room() -> None:
    queue = queue_of(1_000)
    taken = Counter[str]()
    for _ in range(1_000):
        for number in range(4):
            try:
                queue.push(request := Request(f"key-{number}"))
            except QueueFull:
                continue
            taken[request.key_id] += 1
    assert set(taken.values()) == {200}
    queue.push(Request("quiet", 199))


def test_a_refusal_of_a_key_names_its_share() -> None:
    queue = queue_of(1_000)
    pushed_until_full(queue, Request("flooding"))
    with pytest.raises(QueueFull, match=r"The key has its share of the ingest queue: 500 of 1,000 events\."):
        queue.push(Request("flooding"))


def test_a_request_that_waits_alone_may_be_larger_than_the_queue() -> None:
    for key in ("", "aaaaaaaa"):
        queue = queue_of(10, Request(key, 250))
        with pytest.raises(QueueFull):
            queue.push(Request("another"))
        assert [[request.count for request in batch] for batch in batches(queue)] == [[250]]


def test_room_is_free_again_once_events_are_acknowledged() -> None:
    queue = queue_of(100)
    pushed_until_full(queue, Request("flooding"))
    batch = queue.next_batch(BATCH_LIMIT)
    with pytest.raises(QueueFull):
        queue.push(Request("flooding"))
    queue.release(batch)
    assert pushed_until_full(queue, Request("flooding")) == 50


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(0, 300)), max_size=80),
    st.integers(1, 400),
)
def test_nothing_is_lost_and_each_key_keeps_its_order(sent: list[tuple[str, int]], limit: int) -> None:
    requests = [Request(key, count, number) for number, (key, count) in enumerate(sent)]
    taken = batches(queue_of(10**6, *requests), limit)
    # then each request is in one batch, and the requests of a key are in order
    in_order = defaultdict(list)
    for batch in taken:
        assert len(batch) == 1 or sum(request.count for request in batch) <= limit
        for request in batch:
            in_order[request.key_id].append(request)
    for key, served in in_order.items():
        assert served == [request for request in requests if request.key_id == key]
    assert sum(map(len, taken)) == len(requests)


class Flood(RuleBasedStateMachine):
    """Keys that push, and batches that are decided and acknowledged, in any order."""

    LIMIT = 400

    def __init__(self) -> None:
        super().__init__()
        self.queue = queue_of(self.LIMIT)
        self.undecided: Counter[str] = Counter()
        self.decided: list[list[Request]] = []

    @rule(key=st.sampled_from(["", "a", "b", "c"]), count=st.integers(0, 250))
    def push(self, key: str, count: int) -> None:
        waiting, held = self.queue.waiting, self.held(key)
        free = self.LIMIT - waiting
        may_enter = (not waiting or count <= free) and (not key or not held or held + count <= free)
        try:
            self.queue.push(Request(key, count))
        except QueueFull:
            assert not may_enter
        else:
            assert may_enter
            self.undecided[key] += count

    @rule(limit=st.integers(1, 300))
    def decide(self, limit: int) -> None:
        if batch := self.queue.next_batch(limit):
            self.decided.append(batch)
            for request in batch:
                self.undecided[request.key_id] -= request.count

    @precondition(lambda self: self.decided)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.queue.release(self.decided.pop(data.draw(st.integers(0, len(self.decided) - 1))))

    @invariant()
    def the_queue_counts_right(self) -> None:
        assert self.queue.queued == sum(self.undecided.values())
        assert self.queue.waiting == sum(self.held(key) for key in ("", "a", "b", "c"))
        assert self.queue.waiting <= max(self.LIMIT, 250)
        if not self.queue.waiting and self.queue.is_empty:
            assert self.queue._lines == {}, "no key takes memory for ever"

    def held(self, key: str) -> int:
        unacknowledged = sum(request.count for batch in self.decided for request in batch if request.key_id == key)
        return self.undecided[key] + unacknowledged


TestFlood = Flood.TestCase
