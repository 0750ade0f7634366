-- The functions and procedures of a schema. $1: the schema.
SELECT DISTINCT p.proname AS name
FROM pg_proc p
JOIN pg_namespace s ON s.oid = p.pronamespace
WHERE s.nspname = $1
