-- All objects of one schema ($1), each as a row: kind, name, and what is to be known of it as JSON.
-- The session's search_path is that schema alone, so definitions don't name it.
WITH own AS (SELECT oid FROM pg_namespace WHERE nspname = $1),
extensions AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
relations AS (
    SELECT c.* FROM pg_class c
     WHERE c.relnamespace = (SELECT oid FROM own)
       AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
)
SELECT 'table' AS kind, c.relname::text AS name, jsonb_build_object(
         'kind', CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'table' END,
         'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
         'partition key', pg_get_partkeydef(c.oid),
         'partition of', (SELECT i.inhparent::regclass::text || ' ' || pg_get_expr(c.relpartbound, c.oid)
                            FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition),
         'inherits', (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
                        FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT c.relispartition),
         'row security', CASE WHEN c.relforcerowsecurity THEN 'forced' WHEN c.relrowsecurity THEN 'on' END,
         'options', array_to_string(c.reloptions, ', '),
         'replica identity', CASE c.relreplident WHEN 'd' THEN NULL WHEN 'n' THEN 'nothing'
                                                 WHEN 'f' THEN 'full' ELSE 'index' END) AS traits
  FROM relations c WHERE c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'column', c.relname || '.' || a.attname, jsonb_build_object(
         'type', format_type(a.atttypid, a.atttypmod),
         'null', CASE WHEN NOT a.attnotnull THEN 'allowed'
                      WHEN EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = c.oid AND n.contype = 'n'
                                      AND n.conkey = ARRAY[a.attnum] AND NOT n.convalidated)
                      THEN 'refused, not validated' ELSE 'refused' END,
         'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
         'generated', CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ': ' || pg_get_expr(d.adbin, d.adrelid) END,
         'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
         'collation', (SELECT l.collname FROM pg_collation l, pg_type t
                        WHERE l.oid = a.attcollation AND t.oid = a.atttypid AND t.typcollation <> l.oid))
  FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', c.relname || '.' || k.conname, jsonb_build_object(
         'definition', pg_get_constraintdef(k.oid, true),
         'validated', CASE WHEN k.convalidated THEN 'yes' ELSE 'no' END)
  FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid
 WHERE k.contype NOT IN ('n', 't')
UNION ALL
SELECT 'index', t.relname || '.' || c.relname, jsonb_build_object(
         'definition', pg_get_indexdef(i.indexrelid, 0, true),
         'valid', CASE WHEN i.indisvalid AND i.indisready THEN 'yes' ELSE 'no' END,
         'replica identity', CASE WHEN i.indisreplident THEN 'yes' END)
  FROM relations c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = i.indrelid
UNION ALL
SELECT 'view', c.relname::text, jsonb_build_object(
         'kind', CASE c.relkind WHEN 'm' THEN 'materialized' ELSE 'view' END,
         'definition', pg_get_viewdef(c.oid, true),
         'options', array_to_string(c.reloptions, ', '))
  FROM relations c WHERE c.relkind IN ('v', 'm')
UNION ALL
SELECT 'sequence', c.relname::text, jsonb_build_object(
         'type', format_type(s.seqtypid, NULL), 'start', s.seqstart::text, 'increment', s.seqincrement::text,
         'minimum', s.seqmin::text, 'maximum', s.seqmax::text, 'cycles', s.seqcycle::text,
         'owned by', (SELECT t.relname || '.' || a.attname FROM pg_depend o
                        JOIN pg_class t ON t.oid = o.refobjid
                        JOIN pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid
                       WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')))
  FROM relations c JOIN pg_sequence s ON s.seqrelid = c.oid
UNION ALL
SELECT 'trigger', c.relname || '.' || t.tgname, jsonb_build_object(
         'definition', pg_get_triggerdef(t.oid, true),
         'enabled', CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'A' THEN 'always' ELSE 'replica' END)
  FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid
 WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'rule', c.relname || '.' || r.rulename, jsonb_build_object('definition', pg_get_ruledef(r.oid, true))
  FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid
 WHERE r.rulename <> '_RETURN'
UNION ALL
SELECT 'policy', c.relname || '.' || p.polname, jsonb_build_object(
         'command', p.polcmd::text, 'permissive', p.polpermissive::text,
         'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))
  FROM relations c JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT 'function', f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ')', jsonb_build_object(
         'kind', CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'w' THEN 'window' ELSE 'function' END,
         'arguments', pg_get_function_arguments(f.oid), 'result', pg_get_function_result(f.oid),
         'language', l.lanname, 'body', coalesce(pg_get_function_sqlbody(f.oid), f.prosrc),
         'volatility', f.provolatile::text, 'strict', f.proisstrict::text,
         'security definer', f.prosecdef::text, 'settings', array_to_string(f.proconfig, ', '))
  FROM pg_proc f JOIN pg_language l ON l.oid = f.prolang
 WHERE f.pronamespace = (SELECT oid FROM own) AND f.prokind <> 'a'
   AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = f.oid)
UNION ALL
SELECT 'type', t.typname::text, jsonb_build_object(
         'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite' END,
         'labels', (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                      FROM pg_enum e WHERE e.enumtypid = t.oid),
         'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
         'null', CASE WHEN t.typnotnull THEN 'refused' END,
         'default', t.typdefault,
         'checks', (SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid, true), '; ' ORDER BY k.conname)
                      FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'),
         'attributes', (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                          FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE t.typnamespace = (SELECT oid FROM own)
   AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
   AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT 'grant', c.relname || '.' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, jsonb_build_object(
         'privileges', string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', '
                                  ORDER BY a.privilege_type))
  FROM relations c, aclexplode(c.relacl) a
 WHERE $2 AND a.grantee <> c.relowner
 GROUP BY c.relname, a.grantee
