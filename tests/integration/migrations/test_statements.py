"""Every expectation of the corpus of migrations, shown on a real PostgreSQL.

*safe*: the statement succeeds, and every old query works after it and gives the same: the rows,
the columns' names and types, the number of rows that it wrote.
*breaking*: it succeeds, and every old query, each of which worked and uses in the ordinary way
what the statement is about, fails after it or gives something else, whatever the data.
*conditional*: it is safe with the data and queries of `setup` and `old`; with those of
`breaks_setup` and `breaks_old`, or once the new version has written what it now may (`new`), it
isn't: it fails itself, or an old query fails or differs.

The schema before it is known, as from the files before; data, and the old version, are not. A
statement that only fails where data forbid it, and changes nothing for old queries, is safe.
Old queries name their columns, and the table of each where there are several: the document asks
the old version to overlook new ones. Sessions of the old version that hold prepared statements
are not asked: PostgreSQL refuses those whose columns' types changed, once.

How lock and cost are measured: tests/support/statement_evidence.py.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from admin.embedded import EmbeddedPostgres
from tests.support.statement_corpus import BASE, LOCKS, Case, cases
from tests.support.statement_effects import Effect
from tests.support.statement_evidence import Laboratory, Tried, connected

TEMPLATE, SHARED = "corpus_base", "corpus_shared"
LEAST = 150

CASES = cases()


@pytest.fixture(scope="module")
async def laboratory(postgres_server: EmbeddedPostgres) -> AsyncIterator[Laboratory]:
    for name in (TEMPLATE, SHARED):
        async with connected(postgres_server.create_database(name)) as session:
            await session.execute(BASE.read_text("utf-8"))
    async with (
        connected(postgres_server.url) as observer,
        connected(postgres_server.url_for(SHARED)) as shared,
    ):
        yield Laboratory(postgres_server.url, TEMPLATE, observer, shared)
    for name in (TEMPLATE, SHARED):
        postgres_server.drop_database(name)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_a_statement_does_is_what_the_corpus_says(
    laboratory: Laboratory, case: Case
) -> None:
    apart = case.breaks_setup or case.new
    also = () if apart else case.breaks_old
    found = await tried(laboratory, case, (*case.old, *also), [case.setup])
    assert found.effect.error is None
    differ = differences(found)
    expected = [case.compatibility == "breaking"] * len(case.old) + [True] * len(also)
    assert differ == expected, f"{found.before} {found.after}"
    assert_lock(case, found.effect)
    assert found.effect.cost == case.cost, found.effect
    if apart:
        queries, setup = case.breaks_old or case.old, [case.setup, case.breaks_setup]
        found = await tried(laboratory, case, queries, setup, case.new, locks=False)
        assert found.effect.error or any(differences(found)), "it does not break"


async def tried(
    laboratory: Laboratory,
    case: Case,
    queries: Sequence[str],
    setup: Sequence[str],
    new: Sequence[str] = (),
    *,
    locks: bool = True,
) -> Tried:
    found = await laboratory.tried(case.sql, queries, setup, new, locks=locks)
    assert [outcome.error for outcome in found.before] == [None] * len(queries), "must work before"
    return found


def differences(found: Tried) -> list[bool]:
    return [was != now for was, now in zip(found.before, found.after, strict=True)]


def assert_lock(case: Case, effect: Effect) -> None:
    strongest = max(effect.locks.values(), key=LOCKS.index, default="")
    if not case.table:
        assert not strongest, f"locks {effect.locks}"
        return
    assert effect.locks[case.table] == case.lock
    # The table that a case looks at is the one that has the most to bear.
    assert strongest == case.lock, f"locks {effect.locks}"


@pytest.mark.parametrize("case", [case for case in CASES if case.held], ids=str)
async def test_a_lock_lasts_until_the_transaction_ends(laboratory: Laboratory, case: Case) -> None:
    table, _, lock = case.held.partition(" ")
    assert case.cost != "instant"
    assert (await laboratory.held(case.sql, [case.setup]))[table] == lock


def test_the_corpus_is_large_enough_and_shows_every_verdict() -> None:
    lines = [f"{len(CASES)} cases"]
    for axis in ("compatibility", "lock", "cost"):
        counted = Counter(getattr(case, axis) or "none" for case in CASES)
        lines.append(f"{axis}: " + ", ".join(f"{n} {value}" for value, n in counted.most_common()))
    print("\n".join(lines))
    assert len(CASES) >= LEAST
