-- The foreign keys of a schema's tables that are enforced; of a partitioned table, not those of its partitions. $1: the schema.
SELECT c.relname AS table_name,
       n.conname AS name,
       p.relname AS parent,
       n.confdeltype::text AS on_delete,
       n.confupdtype::text AS on_update,
       n.convalidated AS is_valid,
       ARRAY(
           SELECT a.attname::text FROM unnest(n.conkey) WITH ORDINALITY AS k (attnum, place)
           JOIN pg_attribute a ON a.attrelid = n.conrelid AND a.attnum = k.attnum ORDER BY k.place
       ) AS columns,
       ARRAY(
           SELECT a.attname::text FROM unnest(n.confkey) WITH ORDINALITY AS k (attnum, place)
           JOIN pg_attribute a ON a.attrelid = n.confrelid AND a.attnum = k.attnum ORDER BY k.place
       ) AS parent_columns
FROM pg_constraint n
JOIN pg_class c ON c.oid = n.conrelid
JOIN pg_class p ON p.oid = n.confrelid
JOIN pg_namespace s ON s.oid = c.relnamespace
-- PostgreSQL 18 knows keys that aren't enforced; before, the column isn't there, and nothing is said of it.
WHERE s.nspname = $1 AND n.contype = 'f' AND n.conparentid = 0 AND coalesce((to_jsonb(n) ->> 'conenforced')::bool, true)
