"""Go or no-go: nothing passes that was not measured, and nothing that nobody signed."""

import itertools

import pytest

from admin.gates.checklist import PARTS, Checklist, Item, go
from admin.gates.checklist_file import shipped
from admin.gates.config import Census, Gates, Replication
from admin.gates.model import Finding, Outcome
from admin.gates.signoff import NOTE_MAX, Signature, fault

GATE = Item("smoke", "validation", "Smoke tests pass", gate="smoke")
SIGNED = Item("qa", "validation", "Manual QA complete", role="qa")
BOTH = Checklist((GATE, SIGNED))


def finding(outcome: Outcome, gate: str = "smoke") -> Finding:
    return Finding(gate, outcome, "because", {}, 0.1)


def signature(*, approve: bool, role: str = "qa", item: str = "qa") -> Signature:
    return Signature(item, role, "ada", approve, "" if approve else "the colours are wrong")


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("stated", [True, False])
def test_what_passes(outcome: Outcome, *, stated: bool) -> None:
    missing = go(
        [finding(outcome)], [], Checklist((GATE,)), not_applicable={"smoke"} if stated else ()
    )
    passes = outcome in {Outcome.PASSED, Outcome.WARNED} or (
        outcome is Outcome.NOT_APPLICABLE and stated
    )
    assert (not missing) is passes
    if missing:
        assert missing[0].why == f"smoke {outcome}: because"


def test_what_was_never_measured_or_signed_is_missing() -> None:
    missing = go([], [], BOTH)
    assert [each.why for each in missing] == ["smoke has not been measured", "qa has not signed"]
    assert not go([finding(Outcome.PASSED)], [signature(approve=True)], BOTH)


@pytest.mark.parametrize(("first", "second"), list(itertools.product([True, False], repeat=2)))
def test_the_last_word_counts(*, first: bool, second: bool) -> None:
    outcomes = [Outcome.PASSED if good else Outcome.FAILED for good in (first, second)]
    findings = [finding(outcome) for outcome in outcomes]
    signatures = [signature(approve=good) for good in (first, second)]
    assert (not go(findings, signatures, BOTH)) is second


def test_another_roles_signature_is_none() -> None:
    others = [signature(approve=True, role="developer"), signature(approve=True, item="smoke")]
    missing = go([finding(Outcome.PASSED)], others, BOTH)
    assert [each.why for each in missing] == ["qa has not signed"]
    refused = go([finding(Outcome.PASSED)], [signature(approve=False)], BOTH)
    assert refused[0].why == "ada (qa) refused: the colours are wrong"


def test_a_signature_does_not_stand_for_a_measurement() -> None:
    missing = go([], [signature(approve=True, item="smoke")], Checklist((GATE,)))
    assert [each.item for each in missing] == ["smoke"]


def test_what_is_due_grows_with_the_phases() -> None:
    checklist = shipped()
    counts = [len(go([], [], checklist, phase=phase)) for phase in range(7)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[6] == len(checklist.items) == len(go([], [], checklist))
    assert {each.phase for each in go([], [], checklist, phase=2)} == {1, 2}
    assert set(PARTS.values()) == {1, 2, 3, 5, 6}


def test_the_settings_say_what_does_not_apply() -> None:
    assert Gates().not_applicable() == {"replication-lag"}
    linked = Gates(replication=Replication(url="env:X"), census=Census(applies=False))
    assert linked.not_applicable() == {"census"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Signature("qa", "QA", "ada", approve=True), "a role is"),
        (
            Signature("qa", "qa", "ada", approve=True, note="x" * (NOTE_MAX + 1)),
            "a note has at most",
        ),
        (Signature("qa", "qa", "ada", approve=False, note=" "), "who refuses says why"),
        (Signature("qa", "qa", "ada", approve=False, note="no"), ""),
        (Signature("qa", "qa", "ada", approve=True), ""),
    ],
)
def test_signatures_that_can_be_kept(given: Signature, said: str) -> None:
    assert fault(given).startswith(said)
    assert bool(fault(given)) is bool(said)
