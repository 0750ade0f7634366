"""A simulation that finds no fault has to find those that are put into the code."""

import pytest

from tests.sim.mutations import MUTATIONS, Mutation
from tests.sim.scenario import play

_SEEDS = 400
"""Within so many each has to be found."""


def rule(violation: str) -> int:
    return int(violation.removeprefix("rule ").partition(":")[0])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_a_fault_in_the_code_is_found(mutation: Mutation) -> None:
    with mutation.applied():
        for seed in range(_SEEDS):
            broken = {rule(violation) for violation in play(seed).violations}
            if broken & set(mutation.rules):
                print(f"{mutation.name}: rule {min(broken)} is broken by seed {seed}")
                return
    pytest.fail(f"{mutation.name} breaks none of the rules {mutation.rules} within {_SEEDS} seeds")


def test_each_rule_has_a_fault_that_breaks_it() -> None:
    assert {rule for mutation in MUTATIONS for rule in mutation.rules} >= set(range(1, 9))
