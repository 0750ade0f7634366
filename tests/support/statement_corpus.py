"""The corpus of migrations: statements, and what is expected of them on both axes.

`tests/statements/<topic>.toml` holds [[case]] tables; `base.sql` is the schema that each
begins with. tests/integration/migrations/test_statements.py shows every expectation on a real
PostgreSQL; the linter's tests compare its verdicts with them.

    sql             one statement, or a file whose last statement is judged
    setup           SQL before it, over the base
    old             queries of the old version; each works before, and names its columns
    table           the table that is looked at, as it is called before; "" for a file that
                    takes no lock on anything that was there
    lock            the strongest lock that the statement takes on it, as in pg_locks; "" for none
    cost            instant | scan | rewrite
    compatibility   safe | conditional | breaking
    breaks_setup    of a conditional one: SQL after `setup` with which it does break
    breaks_old      of a conditional one: queries which it does break
    new             what the new version may write once it is there, before breaks_old
    held            a lock in the way of others that the file's transaction holds for as long as its
                    last statement takes, which needs it for an instant or not at all: `jobs
                    AccessExclusiveLock`
    unseen          what its verdicts hang on that neither the text nor the schema shows; whoever
                    has only these has to expect worse
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "statements"
BASE = FOLDER / "base.sql"

COMPATIBILITIES = ("safe", "conditional", "breaking")
COSTS = ("instant", "scan", "rewrite")
LOCKS = (
    "",
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""PostgreSQL's table locks, weakest first."""

_LISTS = {"old", "breaks_old", "new"}
_NEEDED = {"name", "sql", "old", "lock", "cost", "compatibility", "table"}


class CorpusError(ValueError):
    """A case that is not of the form above."""


@dataclass(frozen=True, slots=True)
class Case:
    """A statement and its expected verdicts; see the module. topic: its file's name."""

    topic: str
    name: str
    sql: str
    table: str
    lock: str
    cost: str
    compatibility: str
    old: tuple[str, ...]
    setup: str = ""
    breaks_setup: str = ""
    breaks_old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    unseen: str = ""
    held: str = ""

    def __str__(self) -> str:
        return f"{self.topic}: {self.name}"


def cases() -> list[Case]:
    """All of them, by topic, in the order of their files. CorpusError."""
    found = [case for path in sorted(FOLDER.glob("*.toml")) for case in read(path)]
    names = [str(case) for case in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(f"named twice: {', '.join(twice)}")
    return found


def read(path: Path) -> list[Case]:
    """The cases of one file. CorpusError."""
    with path.open("rb") as file:
        document = tomllib.load(file)
    if set(document) != {"case"}:
        raise CorpusError(f"{path.name}: holds [[case]] tables and nothing else")
    return [_case(path.stem, table) for table in document["case"]]


def _case(topic: str, table: Mapping[str, object]) -> Case:
    where = f"{topic}: {table.get('name', 'a case without a name')}"
    known = {field.name for field in fields(Case)} - {"topic"}
    if faults := sorted((table.keys() - known) | (_NEEDED - table.keys())):
        raise CorpusError(f"{where}: unknown or missing: {', '.join(faults)}")
    values: dict[str, Any] = {key: _value(where, key, value) for key, value in table.items()}
    case = Case(topic=topic, **values)
    for value, allowed in (
        (case.lock, LOCKS),
        (case.cost, COSTS),
        (case.compatibility, COMPATIBILITIES),
    ):
        if value not in allowed:
            raise CorpusError(f"{where}: {value!r} is none of {', '.join(allowed)}")
    breaks = bool(case.breaks_setup or case.breaks_old)
    if case.new and not breaks:
        raise CorpusError(f"{where}: new, and nothing of what breaks it then")
    if breaks != (case.compatibility == "conditional"):
        raise CorpusError(f"{where}: what breaks it is for conditional cases, and needed there")
    if not case.old:
        raise CorpusError(f"{where}: no query of the old version")
    if case.held and case.held.partition(" ")[2] not in LOCKS[1:]:
        raise CorpusError(f"{where}: held is a table and a lock")
    if case.lock and not case.table:
        raise CorpusError(f"{where}: a lock, and no table")
    return case


def _value(where: str, key: str, value: object) -> str | tuple[str, ...]:
    if key in _LISTS:
        if isinstance(value, list) and all(isinstance(query, str) for query in value):
            return tuple(value)
        raise CorpusError(f"{where}: {key} is a list of queries")
    if isinstance(value, str):
        return value.strip()
    raise CorpusError(f"{where}: {key} is a string")
