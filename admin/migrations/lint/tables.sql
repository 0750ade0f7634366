-- How a schema's tables store their rows. $1: the schema. partitioned_by: the one column by whose range they are spread.
-- is_replicated: subscribers know a row without its primary key.
SELECT c.relname AS table_name,
       c.relkind = 'p' AS is_partitioned,
       coalesce(t.partdefid <> 0, false) AS has_rest,
       coalesce(k.attname, '') AS partitioned_by,
       coalesce(m.amname, '') AS method,
       c.relreplident IN ('f', 'i') AS is_replicated,
       coalesce(o.spcname, d.spcname) AS tablespace
FROM pg_class c
JOIN pg_namespace s ON s.oid = c.relnamespace
LEFT JOIN pg_am m ON m.oid = c.relam
LEFT JOIN pg_tablespace o ON o.oid = c.reltablespace
JOIN pg_database b ON b.datname = current_database()
JOIN pg_tablespace d ON d.oid = b.dattablespace
LEFT JOIN pg_partitioned_table t ON t.partrelid = c.oid
LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND t.partstrat = 'r' AND t.partnatts = 1 AND k.attnum = t.partattrs[0]
    AND k.attnum > 0
WHERE s.nspname = $1 AND c.relkind IN ('r', 'p')
