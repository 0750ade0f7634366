-- The columns of a schema's tables and views, in their order. $1: the schema.
SELECT c.relname AS table_name,
       a.attname AS name,
       t.typname AS type,
       a.atttypmod AS modifier,
       a.attnotnull AND NOT EXISTS (
           -- PostgreSQL 18: NOT NULL NOT VALID.
           SELECT FROM pg_constraint n
           WHERE n.conrelid = c.oid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum] AND NOT n.convalidated
       ) AS not_null,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attgenerated = 'v' AS is_virtual,
       c.relkind IN ('v', 'm') AS of_view
FROM pg_class c
JOIN pg_namespace s ON s.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid
WHERE s.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
