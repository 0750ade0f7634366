-- The domains of a schema, and the types below them. $1: the schema.
SELECT d.typname AS name,
       t.typname AS type,
       d.typtypmod AS modifier,
       d.typnotnull OR EXISTS (SELECT FROM pg_constraint n WHERE n.contypid = d.oid) AS is_checked
FROM pg_type d
JOIN pg_type t ON t.oid = d.typbasetype
JOIN pg_namespace s ON s.oid = d.typnamespace
WHERE s.nspname = $1 AND d.typtype = 'd'
