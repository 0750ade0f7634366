-- Targets may swap places: that no two lie in one place is looked at when a statement ends, not row by row.
ALTER TABLE turnout.migration_targets
    DROP CONSTRAINT migration_targets_server_database_schema_key,
    ADD CONSTRAINT migration_targets_one_a_place UNIQUE (server, database, schema)
        DEFERRABLE INITIALLY IMMEDIATE;

-- A worker found at the target what requires a version, and not by a claim that was counted: another
-- target may have been there. What was not looked at served whatever comes before the first migration.
CREATE FUNCTION turnout.narrow_schemas_by_found() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.phase <> 'contract'
       OR NEW.fence <> (SELECT fence FROM turnout.migration_targets WHERE name = NEW.target) THEN
        UPDATE turnout.routing_head SET schema_generation = schema_generation + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER migration_applied_found AFTER INSERT OR UPDATE ON turnout.migration_applied
    FOR EACH ROW WHEN (NEW.requires IS NOT NULL)
    EXECUTE FUNCTION turnout.narrow_schemas_by_found();
