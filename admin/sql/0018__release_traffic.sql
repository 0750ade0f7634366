-- What releases served, for their reports and for the monitor of an admin that takes one over. Each row
-- is computed from the windows in Redis and may be computed again: it is replaced, never added to.

-- begins: POSIX seconds by Redis' clock. told_ms: the time that nodes' windows of it cover, all together.
-- body: figures by slot and cohort, as proxy/routing/windows.py writes them. signals: their last readings.
CREATE TABLE turnout.release_traffic (
    release text NOT NULL REFERENCES turnout.releases (name) ON DELETE CASCADE,
    begins bigint NOT NULL,
    length_s integer NOT NULL CHECK (length_s IN (10, 60, 600)),
    told_ms bigint NOT NULL,
    nodes integer NOT NULL,
    body json NOT NULL,
    signals json NOT NULL DEFAULT '{}',
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, begins)
);

-- Windows of before a release moved anybody, second by second, while it has not ended: what the monitor
-- compares with. Lines, compressed by zlib.
CREATE TABLE turnout.release_baselines (
    release text PRIMARY KEY REFERENCES turnout.releases (name) ON DELETE CASCADE,
    body bytea NOT NULL
);

-- Verdicts of the monitor that differed from the one before.
CREATE TABLE turnout.release_verdicts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    release text NOT NULL REFERENCES turnout.releases (name) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    gist text NOT NULL,
    document json NOT NULL
);
CREATE INDEX release_verdicts_of ON turnout.release_verdicts (release, id);
