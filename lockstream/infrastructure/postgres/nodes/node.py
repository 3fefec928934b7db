"""A node's identity, and its row in the list of nodes."""

from typing import NamedTuple

UNHEARD_SECONDS = 15
"""Age of the last heartbeat from which a node counts as not heard."""


class Node(NamedTuple):
    """The identity of one process."""

    node_id: str
    """Random UUID, which no other process has."""

    name: str
    """Name by which an operator knows the node. A node that is started again has the same name."""

    process_id: int
    version: str


class ListedNode(NamedTuple):
    """A node in the list. All times are of the database's clock, in microseconds since 1970."""

    node: Node
    started_at: int
    heard_at: int
    """Time of the last heartbeat."""

    is_heard: bool
    """Whether the last heartbeat was younger than `UNHEARD_SECONDS` when the list was read."""

    position: int
    """Position of the newest event at the last heartbeat."""

    unavailable_reason: str | None
    """Why the node refused events at the last heartbeat, or None."""
