-- A row written by 1.2.0 gets the default.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS priority INTEGER DEFAULT 5;
