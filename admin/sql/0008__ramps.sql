-- Ramps of the canary: what is intended, and how far it has come. One at a time. An admin that holds
-- the ramp's advisory lock acts on it; if it dies, another goes on from here. revision: grows with
-- each change of the row, so that of two who act on what they saw only one does.

CREATE TABLE turnout.ramps (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,48}$'),
    revision bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'stepping' CHECK (
        state IN ('stepping', 'dwelling', 'paused', 'done')
    ),
    shares integer[] NOT NULL,
    dwells_s double precision[] NOT NULL CHECK (cardinality(dwells_s) = cardinality(shares)),
    chosen_by text NOT NULL CHECK (chosen_by IN ('count', 'traffic')),
    canary jsonb NOT NULL,
    active text NOT NULL CHECK (active IN ('blue', 'green')),
    seen bigint NOT NULL,
    expected jsonb NOT NULL,
    position integer NOT NULL DEFAULT 0 CHECK (position BETWEEN -1 AND cardinality(shares) - 1),
    rises boolean NOT NULL DEFAULT true,
    moves integer NOT NULL DEFAULT 0,
    weight integer CHECK (weight BETWEEN 0 AND 10000),
    version bigint,
    dwelt_s double precision NOT NULL DEFAULT 0,
    looked_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL DEFAULT '',
    outcome text NOT NULL DEFAULT '',
    begun_by text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    moved_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX ramps_open ON turnout.ramps ((true)) WHERE state <> 'done';
CREATE INDEX ramps_begun ON turnout.ramps (begun_at DESC);
