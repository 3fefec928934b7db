-- The log. "offset" is the byte offset of the next record if the log were a file.
--
-- Timestamps and payloads are stored as the text that was sent, because the chain values are computed from it. The type
-- json keeps that text and can still be queried; jsonb would sort the members.
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
);
