"""The list of nodes: all nodes on the database of this process, or this process alone."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from lockstream import __version__
from lockstream.core.entities.log import present_time, recorded_at_of
from lockstream.infrastructure.postgres.nodes.node import ListedNode, Node
from lockstream.services.running.nodes.heartbeat import Heartbeat
from lockstream.services.running.telemetry.figures import NodeFigures, NodeState
from lockstream.settings import Settings

if TYPE_CHECKING:
    from lockstream.infrastructure.postgres.nodes.store import PostgresNodes


class NodeList:
    """The nodes that share the work, as this process knows them. For any thread."""

    def __init__(
        self, settings: Settings, store: "PostgresNodes | None", unavailable_reason: Callable[[], str | None]
    ) -> None:
        """Note this process in `store` until `close`. Without a store, it is the only node.

        `unavailable_reason` says why this process refuses events.
        """
        self._node, self._started_at = this_node(settings), present_time()
        self._unavailable_reason = unavailable_reason
        self._heartbeat = Heartbeat(store, self._node, unavailable_reason) if store else None

    def figures(self, head: int) -> tuple[NodeFigures, ...] | None:
        """Return all nodes by name, or None if the database was not read lately.

        `head` is the position of the newest event that this process knows.
        """
        reason = self._unavailable_reason()
        if self._heartbeat is None:
            alone = ListedNode(self._node, self._started_at, present_time(), True, head, reason)
            return (_figures(alone, is_this=True),)
        nodes = self._heartbeat.nodes
        if nodes is None:
            return None
        own = self._node.node_id
        return tuple(
            _figures(one._replace(is_heard=True, position=head, unavailable_reason=reason), is_this=True)
            if one.node.node_id == own
            else _figures(one, is_this=False)
            for one in nodes
        )

    def close(self) -> None:
        """Remove this process from the list. Blocks."""
        if self._heartbeat:
            self._heartbeat.close()


def this_node(settings: Settings) -> Node:
    """Return the names of this process: host name and port, which stay the same if the node is started again."""
    name = f"{socket.gethostname()}:{settings.unix_socket or settings.port}"
    return Node(str(uuid4()), name, os.getpid(), __version__)


def _figures(one: ListedNode, *, is_this: bool) -> NodeFigures:
    state = NodeState.NOT_READY if one.unavailable_reason else NodeState.READY
    return NodeFigures(
        **one.node._asdict(),
        started_at=recorded_at_of(one.started_at),
        heard_at=recorded_at_of(one.heard_at),
        position=one.position,
        state=state if one.is_heard else NodeState.NOT_HEARD,
        unavailable_reason=one.unavailable_reason,
        is_this=is_this,
    )
