"""The plan of a load, which the load generator carries out, and the result of the load."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from bench.figures import Cpu
from bench.load.network import Network

WARM_UP_SECONDS = 0.5


class Reader(Struct, frozen=True):
    """A client with one connection, which reads paths one after the other."""

    kind: str
    """The kind of its reads. Latencies of one kind are evaluated together."""
    paths: Sequence[str]


class Plan(Struct, frozen=True, kw_only=True):
    """Requests to send: a number of `events`, or for `seconds` after a warm-up that does not count."""

    tag: str
    """Prefix of the lockers' names."""
    kind: Literal["event", "batch", "get", "refused"]
    """The body of each request: one event, a batch, no body, or a batch of events that the rules refuse."""
    connections: int
    per_request: int = 1
    """Events in a request."""
    compartments: int = 32
    """Compartments per connection. Connections share none, so each one's events arrive in an acceptable order."""
    key: str = ""
    """The API key of posts, or empty."""
    registered: bool = False
    """Whether the compartments have been registered before."""
    itemised: bool = True
    """Whether a batch is answered with 200 and an item per event, as by Lockstream, or with 202, as by a peer."""
    events: int = 0
    seconds: float = 0
    rate: float = 0
    """Requests a second. If 0, each connection sends its next request when the response arrives."""
    max_rate: int = 60_000
    """Most requests a second that a server can answer. As many are prepared if there is no `rate`."""
    readers: Sequence[Reader] = ()
    """The readers of GETs, one per connection. Without them, each connection reads lockers."""
    network: Network | None = None
    """The network whose spare compartments have the events, instead of compartments of the tag."""
    turn: int = 0
    """Number of this plan, from 0, among the plans that share the spare compartments."""
    turns: int = 1
    """Number of the plans that share the spare compartments."""
    projection: str = ""
    """Path of a projection. At the end, the load generator waits until the projection contains all `events`."""


class Result(Struct, frozen=True):
    """The figures of a load, without its warm-up."""

    requests: int
    events: int
    seconds: float
    caught_up_seconds: float
    """Time from the start until the projection contained all events, or 0."""
    p50: float
    """Median latency in seconds."""
    p99: float
    """99th percentile of the latencies in seconds."""
    p95_by_kind: dict[str, float]
    """95th percentile of the latencies of each kind of reader."""
    p99_by_kind: dict[str, float]
    """99th percentile of the latencies of each kind of reader."""
    cpu: Cpu
    """Busy cores, with the warm-up."""

    @property
    def rate(self) -> float:
        """Events a second, or GETs a second."""
        return self.events / self.seconds

    @property
    def measurement(self) -> tuple[float, Cpu]:
        return self.rate, self.cpu


def registrations(tag: str, connections: int, compartments: int) -> Plan:
    """Return a plan that registers the compartments of plans with the same tag, in one batch per connection."""
    return Plan(
        tag=tag,
        kind="batch",
        connections=connections,
        per_request=compartments,
        compartments=compartments,
        events=connections * compartments,
    )
