"""Go or no-go."""

from dataclasses import replace

import pytest

from admin.releases.go import Said, Signature, may_sign, missing
from admin.releases.model import Release, State
from admin.releases.plan import Plan
from proxy.routing.model import Canary, Slot

PLAN = Plan(
    gates=("health",), cutover_gates=("schema",), signers=("qa",), cutover_signers=("boss",)
)
RELEASE = Release(
    "r", "1.3.0", "1.2.0", PLAN, Slot.BLUE, Canary(), Canary(), state=State.VALIDATING
)
SIGNED = {"qa": Signature("qa", True, "alice")}


def test_what_has_not_spoken_is_missing():
    assert missing(RELEASE, {}, {}) == [
        *("health: unmeasured (not measured yet)", "qa has not signed"),
    ]


@pytest.mark.parametrize("outcome", ["failed", "unmeasured", "whatever"])
def test_only_what_passes_passes(outcome: str):
    said = {"health": Said("health", outcome, "2 of 3")}
    assert missing(RELEASE, said, SIGNED) == [f"health: {outcome} (2 of 3)"]


@pytest.mark.parametrize("outcome", ["passed", "warned", "not-applicable"])
def test_what_passes_is_not_missing(outcome: str):
    assert missing(RELEASE, {"health": Said("health", outcome)}, SIGNED) == []


def test_a_refusal_counts():
    signed = {"qa": Signature("qa", False, "alice", "invoices are wrong")}
    said = {"health": Said("health", "passed")}
    assert missing(RELEASE, said, signed) == ["qa refuses (invoices are wrong)"]


def test_before_the_cutover_earlier_signatures_count_too():
    release = replace(RELEASE, state=State.CUTTING_OVER)
    said = {"schema": Said("schema", "passed")}
    assert missing(release, said, {}) == ["qa has not signed", "boss has not signed"]


def test_elsewhere_nothing_is_missing():
    assert missing(replace(RELEASE, state=State.STABILISING), {}, {}) == []


def test_who_may_sign():
    assert may_sign("qa", "anybody", {})
    assert may_sign("qa", "alice", {"qa": ["alice"]})
    assert not may_sign("qa", "bob", {"qa": ["alice"]})
