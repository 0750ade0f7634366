"""What a finding proposes runs on a real PostgreSQL, and serves both versions."""

import re
from collections.abc import Iterator

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.catalogue.grammar import statements
from admin.migrations.lint.run import lint_text
from tests.support.servers import empty_database

GIVEN = """
CREATE TABLE customers (id int PRIMARY KEY, email varchar(50), visits int, note text);
"""


@pytest.fixture
def prepared(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
async def connection(prepared: str):
    found = await asyncpg.connect(prepared)
    await found.execute(GIVEN)
    await found.execute("INSERT INTO customers VALUES (1, 'a@b.c', 7, NULL), (2, NULL, NULL, 'x')")
    yield found
    await found.close()


def remedy(statement: str, rule: str) -> str:
    findings = lint_text(statement, given=GIVEN).statements[0].findings
    return next(each.remedy for each in findings if each.rule == rule)


def later(text: str) -> str:
    """What the remedy leaves for a later release."""
    _, _, rest = text.partition("-- A later release")
    return "\n".join(
        line[3:]
        for line in rest.splitlines()
        if line.startswith("-- ") and not line.startswith("-- turnout:")
    )


async def pair(connection: asyncpg.Connection, query: str, id_: int) -> tuple[object, ...]:
    """The one row that a query finds by its id."""
    row = await connection.fetchrow(query, id_)
    assert row is not None
    return tuple(row.values())


async def test_a_renamed_column_serves_both_versions(connection: asyncpg.Connection):
    text = remedy("ALTER TABLE customers RENAME COLUMN email TO email_address", "rename-column")
    await connection.execute(text)
    both = "SELECT email, email_address FROM customers WHERE id = $1"
    assert await pair(connection, both, 1) == ("a@b.c", "a@b.c")
    await connection.execute("INSERT INTO customers (id, email) VALUES (3, 'old')")
    await connection.execute("INSERT INTO customers (id, email_address) VALUES (4, 'new')")
    assert await pair(connection, both, 3) == ("old", "old")
    assert await pair(connection, both, 4) == ("new", "new")
    await connection.execute("UPDATE customers SET email = 'o2' WHERE id = 4")
    await connection.execute("UPDATE customers SET email_address = 'n2' WHERE id = 3")
    assert await pair(connection, both, 4) == ("o2", "o2")
    assert await pair(connection, both, 3) == ("n2", "n2")
    await connection.execute("UPDATE customers SET email = NULL WHERE id = 3")
    assert await pair(connection, both, 3) == (None, None)
    await connection.execute(later(text))
    assert await connection.fetchval("SELECT email_address FROM customers WHERE id = 4") == "o2"
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.execute("SELECT email FROM customers")


async def test_a_column_of_another_type_serves_both_versions(connection: asyncpg.Connection):
    text = remedy("ALTER TABLE customers ALTER COLUMN visits TYPE text", "change-column-type")
    await connection.execute(text)
    both = "SELECT visits, visits_text FROM customers WHERE id = $1"
    assert await pair(connection, both, 1) == (7, "7")
    await connection.execute("INSERT INTO customers (id, visits_text) VALUES (3, '8')")
    await connection.execute("UPDATE customers SET visits = 9 WHERE id = 1")
    assert await pair(connection, both, 3) == (8, "8")
    assert await pair(connection, both, 1) == (9, "9")
    await connection.execute(later(text))


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE customers RENAME TO clients", "rename-table"),
        ("ALTER TABLE customers ADD CONSTRAINT c CHECK (visits > 0)", "add-check"),
        ("ALTER TABLE customers ADD CONSTRAINT c CHECK (visits > 0)", "blocking-scan"),
        ("ALTER TABLE customers ADD FOREIGN KEY (visits) REFERENCES customers (id) NOT VALID", ""),
        (
            "ALTER TABLE customers ADD COLUMN token uuid DEFAULT gen_random_uuid()",
            "blocking-rewrite",
        ),
        ("UPDATE customers SET note = 'y'", "whole-table-write"),
        ("DROP INDEX customers_pkey", "drop-index"),
        ("ALTER TABLE customers DROP COLUMN note", "drop-column"),
        ("LOCK TABLE customers", "lock-table"),
    ],
)
async def test_what_may_run_now_runs(connection: asyncpg.Connection, statement: str, rule: str):
    async with connection.transaction():
        await connection.execute(remedy(statement, rule) if rule else statement)


async def test_not_null_is_reached_by_both_releases(connection: asyncpg.Connection):
    text = remedy("ALTER TABLE customers ALTER COLUMN note SET NOT NULL", "set-not-null")
    filled = re.sub(r"/\*.*?\*/ NULL", "'none'", text)
    await connection.execute(filled)
    await connection.execute("INSERT INTO customers (id) VALUES (3)")
    await connection.execute(later(filled))
    assert await connection.fetchval("SELECT note FROM customers WHERE id = 1") == "none"
    with pytest.raises(asyncpg.NotNullViolationError):
        await connection.execute("INSERT INTO customers (id, note) VALUES (4, NULL)")


async def test_a_unique_constraint_is_built_beside_the_traffic(connection: asyncpg.Connection):
    text = remedy("ALTER TABLE customers ADD UNIQUE (email)", "add-unique")
    for statement in statements(text):
        await connection.execute(statement.text)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO customers (id, email) VALUES (3, 'a@b.c')")


async def test_an_index_is_built_beside_the_traffic(connection: asyncpg.Connection):
    statement = "CREATE INDEX by_note ON customers (lower(note)) WHERE visits > 0"
    text = remedy(statement, "index-without-concurrently")
    for each in statements(text):
        await connection.execute(each.text)
    assert await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_note'::regclass"
    )
