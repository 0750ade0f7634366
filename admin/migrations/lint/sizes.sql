-- How large a schema's tables and materialized views are; a partitioned one: all its partitions. $1: the schema.
SELECT c.relname AS name,
       sum(pg_total_relation_size(p.relid))::bigint AS bytes,
       sum(greatest(leaf.reltuples, 0))::bigint AS rows
FROM pg_class c
JOIN pg_namespace s ON s.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf
    UNION
    SELECT c.oid WHERE c.relkind <> 'p'
) p
JOIN pg_class leaf ON leaf.oid = p.relid
WHERE s.nspname = $1 AND c.relkind IN ('r', 'p', 'm')
GROUP BY c.relname
