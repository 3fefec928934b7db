"""The key store in a database, which all nodes share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import msgspec

from lockstream.core.entities.key_text import is_digest, is_key_id
from lockstream.core.entities.keys import AuditEntry, AuditQuery, Key, NumberedEntry
from lockstream.core.errors import KeysDamaged, KeysMissing
from lockstream.core.key_store import NO_AUDIT_LIMITS, AuditLimits, KeyChange, Keys
from lockstream.infrastructure.postgres.connection import (
    COMMIT,
    Database,
    DatabaseRows,
    Session,
    Statement,
    errors_as_unavailable,
)

_VERSION = Statement("SELECT version FROM access_version")
_TAKE_LOCK = Statement("SELECT version FROM access_version FOR UPDATE")
_ADD_VERSION = Statement("UPDATE access_version SET version = version + 1")
_KEYS = Statement("SELECT key_id, record FROM access_keys ORDER BY key_id")
_WERE_CREATED = Statement("SELECT EXISTS (SELECT 1 FROM access_audit WHERE action = 'created')")  # by an index
_LAST_USED = Statement("SELECT key_id, last_used_minute FROM access_keys WHERE last_used_minute IS NOT NULL")

ROW_BYTES = 200
"""Approximate bytes that an entry of the audit log takes beside its record."""

TRIM_ENTRIES = 1_000
"""Entries that are appended between two checks of the size of the audit log. A check reads the whole table."""

_encode = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder(Key).decode
_decode_entry = msgspec.json.Decoder(AuditEntry).decode


class PostgresKeyStore:
    """Implements `core.key_store.KeyStore` in the primary database of many nodes."""

    def __init__(self, database: Database, limits: AuditLimits = NO_AUDIT_LIMITS) -> None:
        """No connection is made yet. `close` closes the pool of `database`, so no other store may use it.

        Reads of the log may take all connections of their pool for long, and a revocation must not wait for them.
        `limits.min_free_bytes` has no effect: the free space of the database's disk is unknown here.
        """
        self._database, self._max_bytes = database, limits.max_bytes
        self._untrimmed = TRIM_ENTRIES
        """Entries that were appended since the last check of the size of the audit log."""

    @property
    def name(self) -> str:
        return f"the table access_keys of the database {self._database.name}"

    def version(self) -> object:
        rows = self._database.read(_VERSION)[_VERSION]
        return rows[0][0] if rows else None

    def keys(self) -> Keys:
        found = self._database.read(_WERE_CREATED, _KEYS)  # a first key that is created between the two is found
        return self._keys(found[_KEYS], found[_WERE_CREATED])

    def change[ChangeT: KeyChange](self, decide: Callable[[Keys], ChangeT]) -> ChangeT:
        with errors_as_unavailable(self._database.name), closing(Session(self._database)) as session:
            found = session.execute([*session.beginning, _TAKE_LOCK])
            if not found[_TAKE_LOCK]:
                raise KeysDamaged(
                    f"The table access_version of the database {self._database.name} is empty. Restore the database "
                    "from a backup."
                )
            found = session.execute([_KEYS, _WERE_CREATED])
            change = decide(self._keys(found[_KEYS], found[_WERE_CREATED]))
            statements = [_append(change.audit)] if change.audit else []
            if change.keys:
                statements += [_put(change.keys), _ADD_VERSION]
            session.execute([*statements, COMMIT])
            return change

    def append_audit(self, entries: Sequence[AuditEntry]) -> None:
        if entries:
            self._write(_append(entries))
            self._untrimmed += len(entries)
            if self._untrimmed >= TRIM_ENTRIES and self._max_bytes is not None:
                self._write(_drop_oldest(self._max_bytes))
                self._untrimmed = 0

    def audit(self, query: AuditQuery, before: int | None, limit: int) -> list[NumberedEntry]:
        statement = Statement(
            "SELECT number, record FROM access_audit WHERE (%(before)s::bigint IS NULL OR number < %(before)s) "
            "AND (%(key_id)s::text IS NULL OR %(key_id)s = ANY (key_ids)) "
            "AND (%(action)s::text IS NULL OR action = %(action)s) AND at >= %(since)s "
            "ORDER BY number DESC LIMIT %(limit)s",
            {
                "before": before,
                "key_id": query.key_id,
                "action": query.action and query.action.value,
                "since": query.since,
                "limit": limit,
            },
        )
        rows = self._database.read(statement)[statement]
        return [NumberedEntry(number, _decode_entry(record)) for number, record in rows]

    def last_used(self) -> dict[str, int]:
        return dict(self._database.read(_LAST_USED)[_LAST_USED])

    def note_used(self, used: Mapping[str, int]) -> None:
        statement = Statement(
            "UPDATE access_keys AS k SET last_used_minute = greatest(k.last_used_minute, u.minute) "
            "FROM unnest(%s::text[], %s::bigint[]) AS u (key_id, minute) WHERE k.key_id = u.key_id",
            [list(used), list(used.values())],
        )
        self._write(statement)

    def close(self) -> None:
        self._database.close()

    def _keys(self, rows: DatabaseRows, were_created: DatabaseRows) -> Keys:
        if not rows and were_created[0][0]:
            raise KeysMissing(
                f"The API keys in {self.name} are gone, and the table access_audit says that keys were created. "
                "Restore the database from a backup. If the keys are meant to be gone, empty the "
                "table access_audit as well."
            )
        keys = {}
        for key_id, record in rows:
            try:
                keys[key_id] = key = _decode_key(record)
            except msgspec.MsgspecError as error:
                raise self._damaged(key_id, str(error)) from error
            if key.key_id != key_id or not is_key_id(key_id) or not is_digest(key.digest):
                raise self._damaged(key_id, "its id or its digest is wrong")
        return keys

    def _damaged(self, key_id: str, reason: str) -> KeysDamaged:
        return KeysDamaged(
            f"The API key {key_id} in {self.name} is damaged ({reason}). Restore the database "
            "from a backup, or delete the row of this key."
        )

    def _write(self, statement: Statement) -> None:
        with errors_as_unavailable(self._database.name), closing(Session(self._database)) as session:
            session.transact(statement)


def _put(keys: Sequence[Key]) -> Statement:
    return Statement(
        "INSERT INTO access_keys (key_id, record) SELECT * FROM unnest(%s::text[], %s::text[]) "
        "ON CONFLICT (key_id) DO UPDATE SET record = excluded.record",
        [[key.key_id for key in keys], [_encode(key).decode() for key in keys]],
    )


def _drop_oldest(max_bytes: int) -> Statement:
    """Return a statement that drops the oldest refusals, and the oldest changes of keys, beyond `max_bytes` of each."""
    return Statement(
        "DELETE FROM access_audit AS a USING ("
        "SELECT number, sum(octet_length(record) + %(row_bytes)s) "
        "OVER (PARTITION BY action = 'refused' ORDER BY number DESC) AS bytes FROM access_audit"
        ") AS sized WHERE a.number = sized.number AND sized.bytes > %(max_bytes)s",
        {"row_bytes": ROW_BYTES, "max_bytes": max_bytes},
    )


def _append(entries: Sequence[AuditEntry]) -> Statement:
    """Return a statement that appends entries.

    The key ids of an entry are joined by commas, because all rows of a nested array must have the same length.
    """
    rows = [
        (entry.at, entry.action.value, ",".join({entry.key_id, entry.by, entry.replaced_by} - {""}), _encode(entry))
        for entry in entries
    ]
    times, actions, key_ids, records = zip(*rows, strict=True)
    return Statement(
        "INSERT INTO access_audit (at, action, key_ids, record) "
        "SELECT at, action, string_to_array(key_ids, ','), record "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY "
        "AS e (at, action, key_ids, record, number) ORDER BY number",
        [list(times), list(actions), list(key_ids), [record.decode() for record in records]],
    )
