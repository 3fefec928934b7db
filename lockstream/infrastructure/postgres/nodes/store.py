"""The list of nodes as a table: one row for each process, with the time of its last heartbeat.

A heartbeat takes one round trip on a connection of its own. Its commit waits neither for a disk nor for a standby, and
no other transaction waits for its row.
"""

from typing import Any

from lockstream.infrastructure.postgres.connection import (
    BEGIN,
    COMMIT,
    Database,
    Session,
    Statement,
    errors_as_unavailable,
)
from lockstream.infrastructure.postgres.nodes.node import UNHEARD_SECONDS, ListedNode, Node

_SETTINGS = Statement(
    "SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '5s', true), "
    "set_config('idle_in_transaction_session_timeout', '5s', true), set_config('synchronous_commit', 'off', true)"
)

_NOTE = """
    INSERT INTO nodes (node_id, name, process_id, version, started_at, heard_at, position, unavailable_reason)
    VALUES (%(node_id)s::uuid, %(name)s, %(process_id)s, %(version)s, now() - %(seconds)s * interval '1 second', now(),
            coalesce((SELECT max(position) FROM events), 0), %(reason)s)
    ON CONFLICT (node_id) DO UPDATE SET heard_at = excluded.heard_at, position = excluded.position,
        unavailable_reason = excluded.unavailable_reason
"""
_DELETE_GONE = """
    DELETE FROM nodes WHERE node_id IN (
        SELECT node_id FROM nodes WHERE node_id <> %(node_id)s::uuid AND (
            heard_at NOT BETWEEN now() - interval '1 day' AND now() + interval '1 day'
            OR name = %(name)s AND NOT {is_heard} AND heard_at NOT BETWEEN
                now() - %(seconds)s * interval '1 second' AND now()
        ) FOR UPDATE SKIP LOCKED
    )
"""
_LIST = """
    SELECT node_id::text, name, process_id, version, (extract(epoch FROM started_at) * 1000000)::bigint,
           (extract(epoch FROM heard_at) * 1000000)::bigint, {is_heard}, position, unavailable_reason
    FROM nodes WHERE {is_heard} OR NOT EXISTS (
        SELECT FROM nodes AS later
        WHERE later.name = nodes.name AND {is_heard} AND later.started_at > nodes.heard_at
    )
    ORDER BY name, started_at, node_id
"""
_REMOVE = "DELETE FROM nodes WHERE node_id = %(node_id)s::uuid"


class PostgresNodes:
    """The list of nodes in a database. For one thread."""

    def __init__(self, database: Database) -> None:
        """No connection is made yet."""
        self._name = database.name
        self._session = Session(database)
        # A time in the future is of another clock, that of a database which was replaced by this one.
        age = f"interval '{UNHEARD_SECONDS} seconds'"
        is_heard = f"heard_at BETWEEN now() - {age} AND now() + {age}"
        self._delete_gone = _DELETE_GONE.format(is_heard=is_heard)
        self._list = Statement(_LIST.format(is_heard=is_heard))

    def note(self, node: Node, running_seconds: float, unavailable_reason: str | None) -> list[ListedNode]:
        """Write a heartbeat of `node`, which has run for `running_seconds`, and return all nodes by name.

        Nodes that were not heard for a day leave the list. So does a process of the same name that does not count as
        heard, if its last heartbeat is older than the start of `node`, which has taken its place.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        values = {**node._asdict(), "seconds": running_seconds, "reason": unavailable_reason}
        own = {"node_id": node.node_id, "name": node.name, "seconds": running_seconds}
        with errors_as_unavailable(self._name):
            self._session.close_if_lost()
            found = self._session.execute(
                [BEGIN, _SETTINGS, Statement(_NOTE, values), Statement(self._delete_gone, own), self._list, COMMIT]
            )
        return [_listed(*row) for row in found[self._list]]

    def remove(self, node_id: str) -> None:
        """Remove a node that stops from the list.

        Raises:
            StoreUnavailable: the database cannot be used.
        """
        with errors_as_unavailable(self._name):
            self._session.close_if_lost()
            self._session.execute([BEGIN, _SETTINGS, Statement(_REMOVE, {"node_id": node_id}), COMMIT])

    def close(self) -> None:
        self._session.close()


def _listed(node_id: str, name: str, process_id: int, version: str, *heartbeat: Any) -> ListedNode:
    return ListedNode(Node(node_id, name, process_id, version), *heartbeat)
