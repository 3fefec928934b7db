-- The quarantine: events that were not accepted. The tables are not a part of the projection, so a rebuild leaves them.
-- All writers hold an advisory lock, so "number" has no gaps, and is in the order in which entries become visible.
CREATE TABLE quarantine (
    event_id uuid PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    kind text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    locker_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    occurred_at text NOT NULL,
    first_at text COLLATE "C" NOT NULL,
    last_at text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    address text COLLATE "C" NOT NULL,
    body text COLLATE "C" NOT NULL,
    discard_reason text,
    discard_at text COLLATE "C",
    CHECK ((discard_reason IS NULL) = (discard_at IS NULL))
) WITH (fillfactor = 80);

-- The newest bodies that were not events.
CREATE TABLE quarantine_malformed (
    number bigint PRIMARY KEY,
    reason text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    first_at text COLLATE "C" NOT NULL,
    last_at text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    address text COLLATE "C" NOT NULL,
    body text COLLATE "C" NOT NULL
);

-- Counts since the first start, in one row. No entry of the kind "refused" has an event in the log at
-- "checked_position" or before. "malformed" has the malformed bodies by reason.
CREATE TABLE quarantine_totals (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_number bigint NOT NULL,
    checked_position bigint NOT NULL,
    dropped bigint NOT NULL,
    unchecked_duplicates bigint NOT NULL,
    malformed json NOT NULL
);
