-- Releases: what is intended, how far each has come, what was measured, who signed, and the trail of
-- all of it. One at a time acts; a hotfix may wait for the one that it overtakes. An admin that holds
-- the release's advisory lock acts on it; if it dies, another goes on from here. revision: grows with
-- each change of the row, so that of two who act on what they saw only one does.

CREATE TABLE turnout.releases (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9.-]{1,80}$'),
    revision bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'planned' CHECK (
        state IN ('planned', 'deploying', 'validating', 'canary', 'cutting-over', 'stabilising',
                  'finalising', 'done', 'aborting', 'aborted', 'rolling-back', 'rolled-back')
    ),
    version text NOT NULL,
    from_version text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('patch', 'minor', 'major', 'breaking')),
    is_drill boolean NOT NULL DEFAULT false,
    plan jsonb NOT NULL,
    active text NOT NULL CHECK (active IN ('blue', 'green')),
    base jsonb NOT NULL,
    expected jsonb NOT NULL,
    step integer NOT NULL DEFAULT 0,
    visit integer NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,
    dwelt_s double precision NOT NULL DEFAULT 0,
    looked_at timestamptz NOT NULL DEFAULT now(),
    waits_for text NOT NULL DEFAULT '',
    old_is_gone boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    fault text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    verdict jsonb,
    devices integer,
    begun_by text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    begun_at timestamptz NOT NULL DEFAULT now(),
    moved_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
-- One that acts, and one that waits for it.
CREATE UNIQUE INDEX releases_open ON turnout.releases ((waits_for <> ''))
    WHERE state NOT IN ('done', 'aborted', 'rolled-back');
CREATE INDEX releases_begun ON turnout.releases (begun_at DESC, name DESC);

-- What a release does, once each. outcome: null while it is under way, or nobody knows how it ended.
CREATE TABLE turnout.release_effects (
    release text NOT NULL REFERENCES turnout.releases (name),
    name text NOT NULL,
    kind text NOT NULL,
    tries integer NOT NULL DEFAULT 1,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('done', 'failed')),
    detail json NOT NULL DEFAULT '{}',
    PRIMARY KEY (release, name)
);

-- What each gate said last.
CREATE TABLE turnout.release_gates (
    release text NOT NULL REFERENCES turnout.releases (name),
    gate text NOT NULL,
    state text NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL DEFAULT '',
    evidence json NOT NULL DEFAULT '{}',
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, gate, state)
);

-- Who signed what; the last word counts.
CREATE TABLE turnout.release_signatures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    release text NOT NULL REFERENCES turnout.releases (name),
    signer text NOT NULL,
    approved boolean NOT NULL,
    actor text NOT NULL,
    note text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX release_signatures_of ON turnout.release_signatures (release, id);

-- The trail. Each row's hash is of the row and the hash before it (admin/releases/chain.py); body is
-- json and not jsonb, so that it is read as it was written.
CREATE TABLE turnout.release_events (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    release text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    body json NOT NULL,
    before text NOT NULL,
    hash text NOT NULL
);
CREATE INDEX release_events_of ON turnout.release_events (release, seq);

-- The end of the chain: locked by who adds to it, so that each follows the one before.
CREATE TABLE turnout.release_chain (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    seq bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO turnout.release_chain (seq, hash) VALUES (0, repeat('0', 64));

CREATE TRIGGER release_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON turnout.release_events FOR EACH STATEMENT EXECUTE FUNCTION turnout.refuse_rewriting();
REVOKE UPDATE, DELETE, TRUNCATE ON turnout.release_events FROM PUBLIC;
