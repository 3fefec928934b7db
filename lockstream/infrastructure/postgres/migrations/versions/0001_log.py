"""The log.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make its table.

    `offset` is where the next record would begin if the log were a file.

    Timestamps and payloads are kept as the text that came: it is what the chain values are made of. `payload` is
    `json`, which keeps the text and yet can be looked into; `jsonb` would sort the members.
    """
    op.execute("""
        CREATE TABLE events (
            position bigint PRIMARY KEY,
            event_id uuid NOT NULL UNIQUE,
            locker_id text COLLATE "C" NOT NULL,
            type text NOT NULL,
            occurred_at text NOT NULL,
            recorded_at text NOT NULL,
            payload json NOT NULL,
            chain bytea NOT NULL CHECK (length(chain) = 32),
            "offset" bigint NOT NULL
        )""")
