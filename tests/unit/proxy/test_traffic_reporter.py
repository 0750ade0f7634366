"""What is told of traffic: each figure once, never too high, the rest as others."""

import random
from collections import Counter

from proxy.observability.tenants import CAPACITY_PER_TENANT
from proxy.routing.traffic import OTHERS
from proxy.traffic import Look
from tests.support.counting import Workers


def test_each_answer_is_told_once_over_all_workers() -> None:
    workers = Workers(3)
    reporter = workers.reporter()
    workers.answers(0, {"acme": 3, "bravo": 1})
    workers.answers(2, {"acme": 2})
    assert reporter.gather() == {"acme": 5, "bravo": 1}
    assert not reporter.gather()
    workers.answers(0, {"acme": 1})
    assert reporter.gather() == {"acme": 1}


def test_a_worker_that_is_replaced_loses_and_repeats_nothing() -> None:
    workers = Workers(1)
    reporter = workers.reporter()
    workers.answers(0, {"acme": 3})
    assert reporter.gather() == {"acme": 3}
    workers.answers(0, {"acme": 1})
    workers.replace(0)
    workers.answers(0, {"acme": 2})
    assert reporter.gather() == {"acme": 3}


def test_another_reporter_begins_where_it_begins() -> None:
    workers = Workers(1)
    before = workers.reporter()
    workers.answers(0, {"acme": 3})
    after = workers.reporter()
    workers.answers(0, {"acme": 4})
    assert after.gather() == {"acme": 4}
    assert before.gather() == {"acme": 7}


def test_who_was_left_out_and_comes_back_begins_anew() -> None:
    workers = Workers(1, limit=1)
    look = Look(workers.all.blocks[0])
    workers.answers(0, {"back": 5})
    assert look.again() == {"back": 5, OTHERS: 0}
    crowd = {f"t-{number}": 9 for number in range(CAPACITY_PER_TENANT)}
    workers.answers(0, crowd)
    assert "back" not in look.again()
    workers.answers(0, {"back": 2})
    found = look.again()
    assert (found["back"], found[OTHERS]) == (2, 0)
    # And within one look: what it had before it was left out is among the others.
    workers.answers(0, crowd)
    workers.answers(0, {"back": 1})
    found = look.again()
    assert found["back"] + found[OTHERS] == 1 + 9 * CAPACITY_PER_TENANT - sum(
        found.get(tenant, 0) for tenant in crowd
    )
    assert min(found.values()) >= 0


def test_who_does_not_fit_is_among_the_others_and_nobody_has_too_much(
    seeded_random: random.Random,
) -> None:
    """Thirty summaries' worth of tenants, in a summary of ten: the sum is exact all the same."""
    workers = Workers(1, limit=1)
    look = Look(workers.all.blocks[0])
    exact, told = Counter[str](), Counter[str]()
    names = [f"t-{number}" for number in range(30 * CAPACITY_PER_TENANT)]
    for _ in range(200):
        drawn = Counter(seeded_random.choices(names, k=20))
        drawn["large"] += 30
        workers.answers(0, dict(drawn))
        exact += drawn
        if seeded_random.random() < 0.5:
            told.update(look.again())
    told.update(look.again())
    assert told.total() == exact.total()
    others = told.pop(OTHERS)
    assert others > 0
    for tenant, count in told.items():
        assert count <= exact[tenant] <= count + others
    assert told["large"] == exact["large"]
