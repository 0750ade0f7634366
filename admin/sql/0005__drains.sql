-- Drains of slots: what is intended, and how far it has come. One at a time for each slot. An admin
-- that holds the drain's advisory lock acts on it; if it dies, another goes on from here.

CREATE TABLE turnout.drains (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,48}$'),
    state text NOT NULL DEFAULT 'draining' CHECK (
        state IN ('draining', 'hurrying', 'ending', 'done')
    ),
    slot text NOT NULL CHECK (slot IN ('blue', 'green')),
    tenants text[],
    per_second double precision NOT NULL CHECK (per_second > 0),
    limit_s double precision NOT NULL CHECK (limit_s > 0),
    webhook text,
    actor text NOT NULL,
    role text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    version bigint,
    hurried_version bigint,
    stopped_by text,
    outcome text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    hurried_at timestamptz,
    ended_at timestamptz
);
CREATE UNIQUE INDEX drains_open ON turnout.drains (slot) WHERE state <> 'done';
CREATE INDEX drains_begun ON turnout.drains (slot, begun_at DESC);
