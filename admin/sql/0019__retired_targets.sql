-- A target that is gone stays in the ledger with its history, and counts no more until it is brought back
-- (admin/migrations/ledger/retired.py).
ALTER TABLE turnout.migration_targets
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN retired_by text,
    ADD COLUMN retired_why text,
    ADD CHECK ((retired_at IS NULL) = (retired_by IS NULL)),
    ADD CHECK ((retired_at IS NULL) = (retired_why IS NULL));

-- Brought back, what its schema lacks counts again.
CREATE TRIGGER migration_targets_retired AFTER UPDATE ON turnout.migration_targets
    FOR EACH ROW WHEN ((OLD.retired_at IS NULL) <> (NEW.retired_at IS NULL))
    EXECUTE FUNCTION turnout.narrow_schemas();
