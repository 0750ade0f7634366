-- Fenced switches: what is intended, and how far it has come. An admin that holds the switch's
-- advisory lock acts on it; if it dies, another goes on from here.

CREATE TABLE turnout.switches (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,48}$'),
    state text NOT NULL DEFAULT 'holding' CHECK (
        state IN ('holding', 'stepping', 'committing', 'done', 'undoing', 'undone')
    ),
    action text NOT NULL,
    operations jsonb NOT NULL,
    tenants text[],
    step_kind text CHECK (step_kind IN ('webhook', 'command')),
    step_target text,
    limit_s double precision NOT NULL CHECK (limit_s > 0),
    per_second double precision NOT NULL CHECK (per_second > 0),
    accept_lost boolean NOT NULL DEFAULT false,
    actor text NOT NULL,
    role text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    held bigint,
    committed bigint,
    step_begun boolean NOT NULL DEFAULT false,
    cancelled_by text,
    reason text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    held_at timestamptz,
    drained_at timestamptz,
    stepped_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX switches_open ON turnout.switches (begun_at) WHERE state NOT IN ('done', 'undone');
CREATE INDEX switches_begun ON turnout.switches (begun_at DESC, name);
