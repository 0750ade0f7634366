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
from collections.abc import AsyncIterator

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from tests.support.statement_corpus import BASE, LOCKS, Case, cases
from tests.support.statement_evidence import Effect, Laboratory, Outcome, Trial

TEMPLATE = "corpus_base"
LEAST = 150

CASES = cases()


@pytest.fixture(scope="module")
async def laboratory(postgres_server: EmbeddedPostgres) -> AsyncIterator[Laboratory]:
    url = postgres_server.create_database(TEMPLATE)
    base = await asyncpg.connect(url)
    await base.execute(BASE.read_text("utf-8"))
    await base.close()
    observer = await asyncpg.connect(postgres_server.url)
    yield Laboratory(postgres_server.url, TEMPLATE, observer)
    await observer.close()
    postgres_server.drop_database(TEMPLATE)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_a_statement_does_is_what_the_corpus_says(
    laboratory: Laboratory, case: Case
) -> None:
    apart = case.breaks_setup or case.new
    also = () if apart else case.breaks_old
    async with laboratory.trial() as trial:
        await trial.prepare(case.setup)
        before, effect, after = await tried(trial, case, (*case.old, *also))
    assert effect.error is None
    differ = differences(before, after)
    count = len(case.old)
    if case.compatibility == "breaking":
        assert all(differ[:count]), f"unchanged: {before} {after}"
    else:
        assert not any(differ[:count]), f"{before} {after}"
    if also:
        assert all(differ[count:]), f"unchanged: {before[count:]} {after[count:]}"
    assert_lock(case, effect)
    assert effect.cost == case.cost, effect
    if apart:
        await breaks(laboratory, case)


async def breaks(laboratory: Laboratory, case: Case) -> None:
    async with laboratory.trial() as trial:
        await trial.prepare(case.setup, case.breaks_setup)
        before, effect, after = await tried(trial, case, case.breaks_old or case.old, case.new)
    assert effect.error is not None or any(differences(before, after)), "it does not break"


async def tried(
    trial: Trial, case: Case, queries: tuple[str, ...], new: tuple[str, ...] = ()
) -> tuple[list[Outcome], Effect, list[Outcome]]:
    before = await trial.ask(queries)
    assert [outcome.error for outcome in before] == [None] * len(queries), "must work before"
    effect = await trial.apply(case.sql)
    await trial.prepare(*new)
    return before, effect, await trial.ask(queries)


def differences(before: list[Outcome], after: list[Outcome]) -> list[bool]:
    return [was != now for was, now in zip(before, after, strict=True)]


def assert_lock(case: Case, effect: Effect) -> None:
    strongest = max(effect.locks.values(), key=LOCKS.index, default="")
    if not case.table:
        assert not strongest, f"locks {effect.locks}"
        return
    assert effect.locks[case.table] == case.lock
    # The table that a case looks at is the one that has the most to bear.
    assert strongest == case.lock, f"locks {effect.locks}"


def test_the_corpus_is_large_enough_and_shows_every_verdict() -> None:
    lines = [f"{len(CASES)} cases"]
    for axis in ("compatibility", "lock", "cost"):
        counted = Counter(getattr(case, axis) or "none" for case in CASES)
        lines.append(f"{axis}: " + ", ".join(f"{n} {value}" for value, n in counted.most_common()))
    print("\n".join(lines))
    assert len(CASES) >= LEAST
