-- What a release needs to go on: the items of the checklist that its plan takes, and the plan's own, as
-- they were when it began. Null: it began before there were any (admin/releases/store.py).
ALTER TABLE turnout.releases ADD COLUMN needs jsonb;

-- What was signed; empty: it is called as its signer.
ALTER TABLE turnout.release_signatures ADD COLUMN item text NOT NULL DEFAULT '';
