-- The nodes on this database, as each notes itself every few seconds by the clock of the database. All rows may be
-- deleted at any time: a node that runs notes itself again.
CREATE TABLE nodes (
    node_id uuid PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    process_id bigint NOT NULL,
    version text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL,
    heard_at timestamptz NOT NULL,
    position bigint NOT NULL,
    unavailable_reason text
) WITH (fillfactor = 50);
