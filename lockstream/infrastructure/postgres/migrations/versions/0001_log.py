"""The log, and where it ends.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them.

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
            chain bytea NOT NULL CHECK (length(chain) = 32)
        )""")
    op.execute("""
        CREATE TABLE head (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            position bigint NOT NULL,
            "offset" bigint NOT NULL,
            chain text NOT NULL
        )""")
    op.execute("INSERT INTO head (position, \"offset\", chain) VALUES (0, 0, repeat('0', 64))")
