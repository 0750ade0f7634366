-- Sessions of people in browsers. Of a session's id only its SHA-256 is here: who reads this table
-- can't take a session over. `name` is what people call it by, and opens nothing.

CREATE TABLE turnout.sessions (
    digest bytea PRIMARY KEY CHECK (length(digest) = 32),
    name text NOT NULL UNIQUE CHECK (name ~ '^[0-9a-f]{16}$'),
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    tenants text[],
    method text NOT NULL CHECK (method IN ('token', 'oidc')),
    address text NOT NULL CHECK (length(address) <= 64),
    agent text NOT NULL CHECK (length(agent) <= 200),
    began_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
);
CREATE INDEX sessions_subject ON turnout.sessions (subject, seen_at);
CREATE INDEX sessions_seen ON turnout.sessions (seen_at);
CREATE INDEX sessions_began ON turnout.sessions (began_at, name);

-- Returns from the provider that have counted: the SHA-256 of their state, until the log-in that
-- they belong to is too old to return.
CREATE TABLE turnout.login_returns (
    digest bytea PRIMARY KEY CHECK (length(digest) = 32),
    ends_at timestamptz NOT NULL
);
CREATE INDEX login_returns_end ON turnout.login_returns (ends_at);
