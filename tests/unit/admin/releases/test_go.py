"""Go or no-go: nothing passes that was not measured, and nothing that nobody signed."""

import itertools
from dataclasses import replace

import pytest

from admin.gates.checklist import Checklist, Item
from admin.gates.checklist_file import shipped
from admin.gates.config import Gates
from admin.gates.model import Outcome
from admin.releases.go import (
    MEASURED_IN,
    NOTHING,
    Known,
    NotAskedError,
    NotYetError,
    Rules,
    Said,
    Signature,
    board,
    evidence,
    gates_of,
    may_sign,
    missing,
    to_measure,
    to_sign,
)
from admin.releases.model import PHASES, Release, State
from admin.releases.needs import needs_of, of_drill
from admin.releases.plan import MajorPlan, MinorPlan, PatchPlan, Plan
from proxy.routing.model import Canary, Slot

OWN = Checklist(
    (
        Item("smoke", "validation", "Smoke tests pass", gate="smoke"),
        Item("qa", "validation", "Manual QA complete", role="qa"),
        Item("reviewed", "pre-deployment", "Code reviewed", role="dba"),
        Item("database", "cutover", "Database is well", role="dba"),
        Item("switched", "cutover", "All are there", gate="switched"),
    )
)
ANY = Rules()
BACK = {State.ABORTING, State.ABORTED, State.ROLLING_BACK, State.ROLLED_BACK}


def release(state: State, plan: Plan | None = None, of: Checklist = OWN) -> Release:
    plan = plan or Plan(checklist=("*",), gates=(), cutover_gates=())
    needs = needs_of(plan, of)
    return Release(
        *("r", "1.3.0", "1.2.0", plan, Slot.BLUE, Canary(), Canary()), state=state, needs=needs
    )


def signed(item: str, role: str, *, approved: bool = True, note: str = "") -> Known:
    return Known({}, {(item, role): Signature(role, approved, "ada", note)})


def both(*of: Known) -> Known:
    said: dict[tuple[str, int], Said] = {}
    signatures: dict[tuple[str, str], Signature] = {}
    for each in of:
        said |= each.said
        signatures |= each.signed
    return Known(said, signatures)


def said(gate: str, phase: int, outcome: str, **more: object) -> Known:
    return Known({(gate, phase): Said(gate, outcome, "because", **more)})  # type: ignore[arg-type]


REVIEWED = signed("reviewed", "dba")


def test_what_was_never_measured_or_signed_is_missing() -> None:
    assert missing(release(State.VALIDATING), NOTHING, ANY) == [
        *("smoke: unmeasured (not measured yet)", "qa has not signed"),
        "reviewed: dba has not signed",
    ]
    all_of_it = both(said("smoke", 3, "passed"), signed("qa", "qa"), REVIEWED)
    assert missing(release(State.VALIDATING), all_of_it, ANY) == []


@pytest.mark.parametrize("outcome", [*Outcome, "whatever"])
@pytest.mark.parametrize("stated", [True, False])
def test_what_passes(outcome: str, *, stated: bool) -> None:
    rules = Rules(not_applicable={"smoke"} if stated else ())
    known = both(said("smoke", 3, outcome), signed("qa", "qa"), REVIEWED)
    passes = outcome in {"passed", "warned"} or (outcome == "not-applicable" and stated)
    found = missing(release(State.VALIDATING), known, rules)
    assert found == ([] if passes else [f"smoke: {outcome} (because)"])


@pytest.mark.parametrize("state", list(State))
def test_what_is_due_grows_with_the_phases(state: State) -> None:
    """In every state: all that is due by its phase, and nothing on the way back."""
    of = release(state, MajorPlan(), shipped())
    found = missing(of, NOTHING, ANY)
    if of.ended or state in BACK:
        assert found == []
        return
    due = [each for each in of.needs if each.phase <= PHASES[state]]
    assert len(found) == len(due)
    assert set(gates_of(of)) == {
        each.gate for each in due if each.gate and each.phase == MEASURED_IN.get(state)
    }


def test_with_nothing_measured_nothing_of_the_whole_checklist_passes() -> None:
    of = release(State.FINALISING, Plan(checklist=("*",), gates=()), shipped())
    unmeasured = both(
        *(said(each.gate, each.phase, "unmeasured") for each in of.needs if each.gate)
    )
    rules = Rules(Gates().not_applicable())
    assert len(missing(of, unmeasured, rules)) == len(of.needs)
    lag = both(unmeasured, said("replication-lag", 1, "not-applicable"))
    assert len(missing(of, lag, rules)) == len(of.needs) - 1


@pytest.mark.parametrize(("first", "second"), list(itertools.product([True, False], repeat=2)))
def test_the_last_word_counts(*, first: bool, second: bool) -> None:
    words = [signed("qa", "qa", approved=good, note="wrong") for good in (first, second)]
    known = both(said("smoke", 3, "passed"), REVIEWED, *words)
    assert missing(release(State.VALIDATING), known, ANY) == (
        [] if second else ["qa refuses (wrong)"]
    )


def test_another_roles_signature_is_none() -> None:
    known = both(said("smoke", 3, "passed"), REVIEWED, signed("qa", "developer"))
    assert missing(release(State.VALIDATING), known, ANY) == ["qa has not signed"]


def test_a_refusal_keeps_what_has_gone_on() -> None:
    """Until the canary's next step, the cutover, the end of the stabilisation, the end."""
    refused = both(
        *(said("smoke", 3, "passed"), said("switched", 5, "passed"), REVIEWED),
        *(signed("database", "dba"), signed("qa", "qa", approved=False, note="wrong")),
    )
    for state in (State.CANARY, State.CUTTING_OVER, State.STABILISING, State.FINALISING):
        assert missing(release(state), refused, ANY) == ["qa refuses (wrong)"]


def test_what_was_measured_too_long_ago_counts_no_longer_in_its_phase() -> None:
    rules = Rules((), 900.0, {"switched"}, 20.0)
    old = both(said("smoke", 3, "passed", age_s=901.0), signed("qa", "qa"), REVIEWED)
    assert missing(release(State.VALIDATING), old, rules) == [
        "smoke: unmeasured (measured 901 s ago, and is measured anew)",
    ]
    assert to_measure(release(State.VALIDATING), old, rules) == ["smoke"]
    # It has passed, and nobody measures it later.
    assert missing(release(State.CANARY), old, rules) == []
    assert to_measure(release(State.CANARY), old, rules) == []
    live = both(old, said("switched", 5, "passed", age_s=21.0), signed("database", "dba"))
    assert missing(release(State.STABILISING), live, rules)[0].startswith("switched: unmeasured")
    now = both(live, said("switched", 5, "passed", age_s=1.0))
    assert missing(release(State.STABILISING), now, rules) == []
    assert to_measure(release(State.STABILISING), now, rules) == ["switched"]


def test_a_plan_has_needs_of_its_own_beside_the_checklist() -> None:
    plan = Plan(
        checklist=("smoke", "qa"), gates=("smoke", "health"), cutover_gates=("health", "smoke"),
        signers=("qa", "boss"), cutover_signers=("boss", "qa", "legal"),
    )  # fmt: skip
    needs = needs_of(plan, OWN)
    assert [(each.item, each.phase, each.gate or each.role) for each in needs] == [
        *(("smoke", 3, "smoke"), ("qa", 3, "qa")),
        *(("health", 3, "health"), ("health-4", 4, "health"), ("smoke-4", 4, "smoke")),
        *(("boss", 3, "boss"), ("legal", 4, "legal")),
    ]
    later = Checklist((Item("boss", "validation", "Approved", role="boss", phase=4),))
    early = needs_of(Plan(checklist=("*",), gates=(), cutover_gates=(), signers=("boss",)), later)
    assert [(each.item, each.phase) for each in early] == [("boss", 4), ("boss-3", 3)]


def test_the_kinds_take_what_the_document_says() -> None:
    whole = {item.name for item in shipped().items}
    assert whole <= {each.item for each in needs_of(MajorPlan(), shipped())}
    patch, minor = (needs_of(plan, shipped()) for plan in (PatchPlan(), MinorPlan()))
    assert not any(each.role for each in patch)
    assert [each.role for each in minor if each.role] == ["qa"]
    assert {each.gate for each in patch if each.phase == 5} == {
        *("switched", "error-rate", "response-time"),
    }


def test_a_drill_waits_for_nothing_that_could_keep_it_there() -> None:
    needs = of_drill(needs_of(MajorPlan(), shipped()))
    assert all(each.gate and each.phase <= 4 for each in needs)
    assert "drill" not in {each.gate for each in needs}
    assert {"workers", "health", "schema"} <= {each.gate for each in needs}


def items(known: Known, state: State, **what: str) -> list[str]:
    return [each.item for each in to_sign(release(state), known, **what)]


def test_what_a_role_signs() -> None:
    assert items(NOTHING, State.PLANNED, role="dba") == ["reviewed"]
    assert items(REVIEWED, State.VALIDATING, role="dba") == ["reviewed"]
    # What is due by now; what was approved before stays as it is, if now is refused.
    assert items(REVIEWED, State.STABILISING, role="dba") == ["database"]
    assert items(NOTHING, State.STABILISING, role="dba") == ["reviewed", "database"]
    assert items(NOTHING, State.STABILISING, item="reviewed") == ["reviewed"]
    # Before the cutover one may sign early.
    assert items(NOTHING, State.PLANNED, role="qa") == ["qa"]
    assert items(NOTHING, State.PLANNED, item="qa") == ["qa"]


def test_what_can_not_be_signed() -> None:
    with pytest.raises(NotYetError, match="signed in phase 5, and the release is in 3"):
        items(NOTHING, State.VALIDATING, item="database")
    for what in ({"role": "someone"}, {"item": "smoke"}, {"item": "nonsense"}):
        with pytest.raises(NotAskedError, match="the plan asks"):
            items(NOTHING, State.VALIDATING, **what)


def test_the_board_has_all_of_it() -> None:
    known = both(said("smoke", 3, "failed", at="now"), signed("qa", "qa", note="fine"))
    lines = {line.need.item: line for line in board(release(State.PLANNED), known)}
    assert list(lines) == ["smoke", "qa", "reviewed", "database", "switched"]
    outcomes = {item: line.outcome for item, line in lines.items()}
    assert outcomes == {
        "smoke": "failed", "qa": "signed", "reviewed": "awaited", "database": "awaited",
        "switched": "unmeasured",
    }  # fmt: skip
    assert (lines["qa"].by, lines["qa"].note, lines["smoke"].at) == ("ada", "fine", "now")
    assert [each["item"] for each in evidence(list(lines.values()), 3)] == ["smoke", "qa"]


def test_who_may_sign() -> None:
    assert may_sign("qa", "anybody", {})
    assert may_sign("qa", "alice", {"qa": ["alice"]})
    assert not may_sign("qa", "bob", {"qa": ["alice"]})


def test_signed_by_now_is_what_stands() -> None:
    of = replace(release(State.VALIDATING), state=State.STABILISING)
    assert "qa has not signed" in missing(of, NOTHING, ANY)
