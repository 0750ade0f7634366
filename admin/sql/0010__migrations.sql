-- The ledger of migrations. A plan keeps the files that it runs; a job is one migration of one
-- target. What the schema itself guarantees: one running job for each target, one for each place of a
-- server, a fence that only grows, a history that is only added to.

CREATE TABLE turnout.migration_targets (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9_.-]{1,63}$'),
    tenant text,
    server text NOT NULL,
    database text NOT NULL,
    schema text NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    looked_at timestamptz,
    UNIQUE (server, database, schema)
);
CREATE INDEX migration_targets_tenant ON turnout.migration_targets (tenant);

CREATE FUNCTION turnout.refuse_lower_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a fence only grows' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER migration_fence_grows BEFORE UPDATE ON turnout.migration_targets
    FOR EACH ROW WHEN (NEW.fence < OLD.fence) EXECUTE FUNCTION turnout.refuse_lower_fence();

CREATE TABLE turnout.migration_texts (
    checksum text PRIMARY KEY,
    text text NOT NULL
);

CREATE TABLE turnout.migration_plans (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9-]{1,48}$'),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    state text NOT NULL DEFAULT 'planned' CHECK (
        state IN ('planned', 'running', 'paused', 'stopped', 'done', 'cancelled')
    ),
    wave integer NOT NULL DEFAULT 0,
    priority integer NOT NULL DEFAULT 0,
    failure_budget integer NOT NULL DEFAULT 0 CHECK (failure_budget >= 0),
    to_version text,
    phases text[] NOT NULL,
    targets integer NOT NULL,
    up_to_date integer NOT NULL,
    reason text NOT NULL DEFAULT '',
    begun_by text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL DEFAULT now(),
    begun_at timestamptz,
    moved_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX migration_plans_running ON turnout.migration_plans (priority DESC, number)
    WHERE state = 'running';

-- All that the catalogue held when the plan was made; runs: those that the plan applies.
CREATE TABLE turnout.migration_files (
    plan text NOT NULL REFERENCES turnout.migration_plans,
    position integer NOT NULL,
    key text NOT NULL,
    version text,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('versioned', 'repeatable')),
    phase text NOT NULL CHECK (phase IN ('expand', 'backfill', 'contract')),
    requires text,
    path text NOT NULL,
    checksum text NOT NULL REFERENCES turnout.migration_texts,
    transactional boolean NOT NULL,
    runs boolean NOT NULL,
    statements jsonb NOT NULL,
    PRIMARY KEY (plan, position),
    UNIQUE (plan, key)
);

CREATE TABLE turnout.migration_waves (
    plan text NOT NULL REFERENCES turnout.migration_plans,
    number integer NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (
        state IN ('waiting', 'open', 'stopped', 'done')
    ),
    forgiven integer NOT NULL DEFAULT 0,
    opened_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (plan, number)
);

CREATE TABLE turnout.migration_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan text NOT NULL,
    target text NOT NULL REFERENCES turnout.migration_targets,
    server text NOT NULL,
    position integer NOT NULL,
    wave integer NOT NULL,
    rank integer NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (
        state IN ('queued', 'running', 'done', 'skipped', 'failed', 'blocked', 'cancelled')
    ),
    worker text,
    place integer,
    fence bigint,
    lease_until timestamptz,
    tries integer NOT NULL DEFAULT 0,
    deaths integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    begun_at timestamptz,
    ended_at timestamptz,
    duration_ms double precision,
    rows_done bigint,
    rows_total bigint,
    error jsonb,
    UNIQUE (plan, target, position),
    FOREIGN KEY (plan, position) REFERENCES turnout.migration_files (plan, position),
    FOREIGN KEY (plan, wave) REFERENCES turnout.migration_waves (plan, number),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK (state <> 'running' OR (worker IS NOT NULL AND place >= 1 AND fence >= 1))
);
CREATE UNIQUE INDEX migration_jobs_one_a_target ON turnout.migration_jobs (target)
    WHERE state = 'running';
CREATE UNIQUE INDEX migration_jobs_one_a_place ON turnout.migration_jobs (server, place)
    WHERE state = 'running';
CREATE INDEX migration_jobs_queue ON turnout.migration_jobs (plan, server, wave, rank, position)
    WHERE state = 'queued';
CREATE INDEX migration_jobs_states ON turnout.migration_jobs (plan, wave, state);
CREATE INDEX migration_jobs_leases ON turnout.migration_jobs (lease_until) WHERE state = 'running';

-- What each target has, as its own version table said when a worker looked last.
CREATE TABLE turnout.migration_applied (
    target text NOT NULL REFERENCES turnout.migration_targets,
    key text NOT NULL,
    version text,
    name text NOT NULL,
    kind text NOT NULL,
    phase text NOT NULL,
    requires text,
    checksum text NOT NULL,
    plan text NOT NULL DEFAULT '',
    fence bigint NOT NULL,
    applied_at timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    PRIMARY KEY (target, key)
);
CREATE INDEX migration_applied_key ON turnout.migration_applied (key, checksum);

CREATE TABLE turnout.migration_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    event text NOT NULL,
    plan text NOT NULL,
    target text,
    key text,
    wave integer,
    fence bigint,
    duration_ms double precision,
    detail jsonb
);
CREATE INDEX migration_history_plan ON turnout.migration_history (plan, id DESC);
CREATE INDEX migration_history_target ON turnout.migration_history (target, id DESC);
CREATE TRIGGER migration_history_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON turnout.migration_history
    FOR EACH STATEMENT EXECUTE FUNCTION turnout.refuse_rewriting();
REVOKE UPDATE, DELETE, TRUNCATE ON turnout.migration_history FROM PUBLIC;
