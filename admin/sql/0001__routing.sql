-- What routing is wanted: the head (one row), the pins, the registered tenants, the changes
-- of late, the audit trail, and the answers kept for repeated requests.

CREATE TABLE turnout.routing_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL CHECK (version BETWEEN 0 AND 9007199254740991),
    active text NOT NULL CHECK (active IN ('blue', 'green')),
    fallback text NOT NULL CHECK (fallback IN ('blue', 'green')),
    canary_basis_points integer NOT NULL CHECK (canary_basis_points BETWEEN 0 AND 10000),
    canary_unit text NOT NULL CHECK (canary_unit IN ('tenant', 'affinity', 'request')),
    canary_salt text NOT NULL CHECK (length(canary_salt) BETWEEN 1 AND 64),
    blue_endpoints text[] NOT NULL,
    green_endpoints text[] NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO turnout.routing_head
    (version, active, fallback, canary_basis_points, canary_unit, canary_salt,
     blue_endpoints, green_endpoints)
VALUES (0, 'blue', 'blue', 0, 'tenant', 'turnout', '{}', '{}');

CREATE TABLE turnout.pins (
    tenant text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9-]{1,63}$'),
    slot text NOT NULL CHECK (slot IN ('blue', 'green'))
);

CREATE TABLE turnout.tenants (
    tenant text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9-]{1,63}$'),
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- The log's entries as published, kept as long as the log in Redis keeps them: from these an
-- admin that finds Redis behind publishes what is missing, in order.
CREATE TABLE turnout.changes (
    version bigint PRIMARY KEY,
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE turnout.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    role text NOT NULL,
    action text NOT NULL,
    from_state jsonb,
    to_state jsonb,
    tenants text[] NOT NULL DEFAULT '{}',
    version bigint,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'refused')),
    code text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT ''
);
CREATE INDEX audit_tenants ON turnout.audit USING gin (tenants);
CREATE INDEX audit_actor ON turnout.audit (actor, id DESC);
CREATE INDEX audit_action ON turnout.audit (action, id DESC);
CREATE INDEX audit_version ON turnout.audit (version) WHERE outcome = 'committed';

CREATE FUNCTION turnout.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON turnout.audit
    FOR EACH STATEMENT EXECUTE FUNCTION turnout.refuse_rewriting();
REVOKE UPDATE, DELETE, TRUNCATE ON turnout.audit FROM PUBLIC;

CREATE TABLE turnout.idempotency (
    actor text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    version bigint NOT NULL,
    status integer,
    body bytea,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_age ON turnout.idempotency (at);
