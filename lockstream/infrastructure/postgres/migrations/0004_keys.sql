-- API keys. "record" is the key as JSON, without its secret: core.entities.keys.Key has its members.
CREATE TABLE access_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    record text COLLATE "C" NOT NULL,
    last_used_minute bigint
);

-- The audit log. "record" is the entry as JSON: core.entities.keys.AuditEntry has its members.
CREATE TABLE access_audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    key_ids text[] NOT NULL,
    record text COLLATE "C" NOT NULL
);
CREATE INDEX access_audit_created ON access_audit (number) WHERE action = 'created';

-- A number that grows with each change of the keys. Its row is the lock of all writers.
CREATE TABLE access_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL
);
INSERT INTO access_version VALUES (true, 0);
