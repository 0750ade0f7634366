"""SQL to start from, in place of a statement that breaks or blocks. Pure.

All are several releases in one text: what may run now stands as SQL, what has to wait as a comment.
"""

from admin.migrations.lint.sqltext import bare, quoted

BATCH = 1000
"""Rows that a batch of a remedy writes at once."""


def later(*lines: str) -> str:
    """Statements for the release after, once no version needs what they take."""
    head = (
        "-- A later release, once no version that uses it can come back:",
        "-- turnout:phase contract",
        "-- turnout:requires app >= NEXT_VERSION",
    )
    return "\n".join([*head, *(f"-- {line}" for line in "\n".join(lines).split("\n"))])


def second_column(table: str, old: str, new: str, type_: str, back: str = "") -> str:
    """A column beside another, kept equal by a trigger, filled in batches; the old one goes later.

    old, new: as SQL. back: from the new one's value to the old one's type, `integer`; empty: they
    have the same.
    """
    function = quoted(f"{bare(table)}_{bare(old)}_to_{bare(new)}")
    to_old = f"NEW.{new}::{back}" if back else f"NEW.{new}"
    to_new = f"NEW.{old}::{type_}" if back else f"NEW.{old}"
    source = f"{old}::{type_}" if back else old
    return f"""\
-- This release: a second column beside the first; a trigger keeps them equal for both versions.
ALTER TABLE {table} ADD COLUMN {new} {type_};
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.{new} IS NULL THEN NEW.{new} := {to_new}; ELSE NEW.{old} := {to_old}; END IF;
    ELSIF NEW.{new} IS DISTINCT FROM OLD.{new} THEN
        NEW.{old} := {to_old};
    ELSE
        NEW.{new} := {to_new};
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER {function} BEFORE INSERT OR UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {function}();
-- Then in batches, each a transaction of its own, until one changes no row:
{batch(f"UPDATE {table} SET {new} = {source}", table, f"{new} IS NULL AND {old} IS NOT NULL")}
{later(f"DROP TRIGGER {function} ON {table};", f"DROP FUNCTION {function}();", f"ALTER TABLE {table} DROP COLUMN {old};")}"""


def batch(change: str, table: str, where: str) -> str:
    """A change of some rows at a time."""
    return f"{change}\n    WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {where} LIMIT {BATCH}));"


def validated(table: str, name: str, definition: str) -> str:
    """A constraint without the long lock: first for new rows, then the old ones are looked at."""
    return f"""\
-- First: it holds for what is written from now on, without a look at the rows.
ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID;
-- Then, in a migration of its own: a scan that blocks neither reads nor writes.
ALTER TABLE {table} VALIDATE CONSTRAINT {name};"""


def not_null(table: str, column: str, *, has_default: bool = False) -> str:
    """SET NOT NULL without a scan under the lock, once no version writes NULL any more."""
    name = quoted(f"{bare(table)}_{bare(column)}_not_null")
    value = "/* a value that the old version can read */ NULL"
    first = f"""\
-- This release: a default, so that the old version's rows have a value; then the rows of old, in batches.
ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {value};"""
    if has_default:
        first = "-- This release: the rows of old, in batches."
    return f"""\
{first}
{batch(f"UPDATE {table} SET {column} = DEFAULT", table, f"{column} IS NULL")}
{
        later(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID;",
            "-- Then, in a migration of its own: a scan that blocks neither reads nor writes.",
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};",
            f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;",
            f"ALTER TABLE {table} DROP CONSTRAINT {name};",
        )
    }"""


def proven_not_null(table: str, column: str) -> str:
    """SET NOT NULL without a scan under the lock: a constraint proves it."""
    name = quoted(f"{bare(table)}_{bare(column)}_not_null")
    return f"""\
ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID;
-- Then, in a migration of its own: a scan that blocks neither reads nor writes.
ALTER TABLE {table} VALIDATE CONSTRAINT {name};
ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;
ALTER TABLE {table} DROP CONSTRAINT {name};"""


def unique(table: str, name: str, columns: str, kind: str = "UNIQUE") -> str:
    """A unique or primary key constraint on an index that was built beside the traffic."""
    return f"""\
-- turnout:transaction off
CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns});
-- Then, in a migration of its own; an instant:
ALTER TABLE {table} ADD CONSTRAINT {name} {kind} USING INDEX {name};"""
