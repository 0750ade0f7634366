-- In which history of the server the head was written. A standby that is promoted, or a backup that is
-- brought up, begins another one: it may lack the last commits, whose versions were given out.

ALTER TABLE turnout.routing_head ADD COLUMN timeline text NOT NULL DEFAULT '';

-- The server's identity and its timeline (PostgreSQL 18, 9.28.4 and 9.28.11). Empty on a standby, which
-- takes no changes. The timeline is asked of the log's position: a control file learns of it later.
CREATE FUNCTION turnout.timeline() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE
        (SELECT system_identifier FROM pg_control_system()) || '/' ||
        left(pg_walfile_name(pg_current_wal_lsn()), 8) END
$$;

UPDATE turnout.routing_head SET timeline = turnout.timeline();
