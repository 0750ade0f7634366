-- The indexes of a schema's tables. $1: the schema. columns: empty texts for expressions. is_key: no two rows have the
-- same there. finds: rows are found by its first column.
SELECT c.relname AS table_name,
       coalesce(n.conname, x.relname) AS name,
       x.relname AS index_name,
       ARRAY(
           SELECT coalesce(a.attname, '')::text
           FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
           LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
           WHERE k.place <= i.indnkeyatts
           ORDER BY k.place
       ) AS columns,
       i.indisprimary AS is_primary,
       i.indisunique AS is_unique,
       i.indisunique AND i.indpred IS NULL AND i.indisvalid AS is_key,
       i.indisvalid AND m.amname IN ('btree', 'hash') AND (
           i.indpred IS NULL
           OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', f.attname)
       ) AS finds
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam
JOIN pg_namespace s ON s.oid = c.relnamespace
LEFT JOIN pg_attribute f ON f.attrelid = c.oid AND f.attnum = i.indkey[0]
LEFT JOIN pg_constraint n ON n.conindid = i.indexrelid AND n.contype IN ('p', 'u', 'x')
WHERE s.nspname = $1
