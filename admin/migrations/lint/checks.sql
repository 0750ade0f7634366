-- The CHECK and NOT NULL constraints of a schema's tables. $1: the schema.
SELECT c.relname AS table_name,
       n.conname AS name,
       n.convalidated AS is_valid,
       CASE
           WHEN n.contype = 'n' OR pg_get_constraintdef(n.oid) ~ '^CHECK \(\(("[^"]+"|\w+) IS NOT NULL\)\)' THEN a.attname
       END AS not_null,
       CASE WHEN n.contype = 'c' THEN pg_get_expr(n.conbin, n.conrelid) END AS expression,
       ARRAY(
           SELECT r.attname::text FROM pg_attribute r WHERE r.attrelid = c.oid AND r.attnum = ANY (n.conkey) AND n.contype = 'c'
       ) AS columns
FROM pg_constraint n
JOIN pg_class c ON c.oid = n.conrelid
JOIN pg_namespace s ON s.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND n.conkey = ARRAY[a.attnum]
WHERE s.nspname = $1 AND n.contype IN ('c', 'n')
