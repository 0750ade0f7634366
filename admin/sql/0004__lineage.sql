-- Which commit made a version: two commits of one version, on both sides of a failover that lost
-- some, are told apart by it. Empty: made before this was noted.

ALTER TABLE turnout.routing_head ADD COLUMN commit_id text NOT NULL DEFAULT '';
ALTER TABLE turnout.changes ADD COLUMN commit_id text NOT NULL DEFAULT '';
