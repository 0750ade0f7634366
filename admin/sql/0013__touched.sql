-- Whether something of a job may be in its target though the ledger wasn't told of it: set before the
-- target is written to, and taken back where the target itself says that all of it was rolled back.
ALTER TABLE turnout.migration_jobs ADD COLUMN touched boolean NOT NULL DEFAULT false;
