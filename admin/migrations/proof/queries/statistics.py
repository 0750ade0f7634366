"""Queries from pg_stat_statements: what the server has seen, without values."""

from typing import Final

import postgast

from admin.migrations.identifiers import quoted
from admin.migrations.proof.queries.model import Query, Untried, query
from admin.migrations.proof.queries.placeholders import with_casts
from admin.migrations.proof.queries.shape import nodes
from admin.migrations.proof.servers import Connection

SOURCE: Final = "pg_stat_statements"
_WHERE = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
# Statements within functions too: they break as well, and planning the call doesn't show it.
_READ = """
SELECT query, sum(calls)::bigint AS calls FROM {view}
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query NOT LIKE '%turnout_schema_history%' AND query NOT LIKE '%pg_stat_statements%'
   AND query NOT LIKE '%set_config(%'
 GROUP BY query ORDER BY calls DESC LIMIT $1
"""


async def queries_of(connection: Connection, most: int) -> list[Query | Untried] | None:
    """Those of the connection's database, called most first. None: it has no such extension."""
    schema = await connection.fetchval(_WHERE)
    if schema is None:
        return None
    sql = _READ.format(view=f"{quoted(schema)}.pg_stat_statements")
    rows = await connection.fetch(sql, most)
    found = [query(with_casts(row["query"]), SOURCE, row["calls"]) for row in rows]
    return [each for each in found if not _is_of_the_system(each.text)]


def _is_of_the_system(text: str) -> bool:
    """Whether all that it reads is PostgreSQL's own, as what drivers and pg_dump ask."""
    try:
        tree = postgast.parse(text)
    except postgast.PgQueryError:
        return False
    within = {each.ctename for each in nodes(tree, "CommonTableExpr")}
    names = set(postgast.extract_tables(tree)) - within or set(postgast.extract_functions(tree))
    return bool(names) and all(each.startswith(("pg_", "information_schema.")) for each in names)
