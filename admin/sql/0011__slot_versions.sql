-- Which application version each slot runs, and the generation of what changes of the routing have to keep to:
-- it grows whenever a schema may serve less than before, so that no change is committed past it.

CREATE TABLE turnout.slot_versions (
    slot text PRIMARY KEY CHECK (slot IN ('blue', 'green')),
    version text NOT NULL CHECK (length(version) BETWEEN 5 AND 64),
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE turnout.routing_head ADD COLUMN schema_generation bigint NOT NULL DEFAULT 0;

CREATE FUNCTION turnout.narrow_schemas() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE turnout.routing_head SET schema_generation = schema_generation + 1;
    RETURN NULL;
END $$;

CREATE FUNCTION turnout.narrow_schemas_by_targets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM came) THEN
        UPDATE turnout.routing_head SET schema_generation = schema_generation + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION turnout.narrow_schemas_by_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM turnout.migration_files
                WHERE plan = NEW.plan AND position = NEW.position AND phase = 'contract') THEN
        UPDATE turnout.routing_head SET schema_generation = schema_generation + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER slot_versions_narrow AFTER INSERT OR UPDATE OR DELETE ON turnout.slot_versions
    FOR EACH STATEMENT EXECUTE FUNCTION turnout.narrow_schemas();
-- A target that was not known, or lies elsewhere by now, and what a new plan knows to be lacking.
CREATE TRIGGER migration_targets_came AFTER INSERT ON turnout.migration_targets
    REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION turnout.narrow_schemas_by_targets();
CREATE TRIGGER migration_targets_moved AFTER UPDATE ON turnout.migration_targets
    FOR EACH ROW WHEN ((OLD.tenant, OLD.server, OLD.database, OLD.schema)
                       IS DISTINCT FROM (NEW.tenant, NEW.server, NEW.database, NEW.schema))
    EXECUTE FUNCTION turnout.narrow_schemas();
CREATE TRIGGER migration_files_narrow AFTER INSERT ON turnout.migration_files
    FOR EACH STATEMENT EXECUTE FUNCTION turnout.narrow_schemas();
-- What takes something away counts from when it begins.
CREATE TRIGGER migration_jobs_narrow AFTER UPDATE OF state ON turnout.migration_jobs
    FOR EACH ROW WHEN (NEW.state = 'running' AND OLD.state <> 'running')
    EXECUTE FUNCTION turnout.narrow_schemas_by_job();
-- A worker looked, and something is not there any more.
CREATE TRIGGER migration_applied_narrow AFTER DELETE ON turnout.migration_applied
    FOR EACH ROW EXECUTE FUNCTION turnout.narrow_schemas();
