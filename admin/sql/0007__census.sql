-- A drain's pace for each tenant, and the census: which equipment was connected when a drain began
-- (its roll), and since when it is missing. The roll is kept with its drain, so that whichever admin
-- goes on knows whom to wait for.

ALTER TABLE turnout.drains
    ADD COLUMN tenant_per_second double precision NOT NULL DEFAULT 0 CHECK (tenant_per_second >= 0);

-- outcome: how the watch over it ended; empty while it goes on. counts: how many were where then. beyond:
-- devices that were not written down, for there were too many.
CREATE TABLE turnout.rolls (
    drain text PRIMARY KEY REFERENCES turnout.drains (name),
    slot text NOT NULL CHECK (slot IN ('blue', 'green')),
    beyond integer NOT NULL DEFAULT 0,
    taken_at timestamptz NOT NULL DEFAULT now(),
    outcome text NOT NULL DEFAULT '' CHECK (
        outcome IN ('', 'complete', 'limit', 'stopped', 'replaced')
    ),
    counts jsonb,
    ended_at timestamptz
);
CREATE INDEX rolls_open ON turnout.rolls (taken_at) WHERE outcome = '';

-- was_there: on the slot that is drained; otherwise it was on the other one already.
CREATE TABLE turnout.roll_devices (
    drain text NOT NULL REFERENCES turnout.rolls (drain) ON DELETE CASCADE,
    tenant text NOT NULL,
    device text NOT NULL,
    was_there boolean NOT NULL,
    missing_since timestamptz,
    PRIMARY KEY (drain, tenant, device)
);
