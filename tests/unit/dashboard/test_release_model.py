import pytest

from admin.dashboard.model.release import PHASES, comes_back, overtaken, release_shown, tried_by
from tests.support.shown import release


def standing(**changed):
    return [phase.standing for phase in release_shown(release(**changed)).phases]


def test_a_release_on_its_canary():
    shown = release_shown(release())
    assert [phase.title for phase in shown.phases] == list(PHASES)
    assert standing() == ["done", "done", "now", "ahead", "ahead", "ahead"]
    assert [step.standing for step in shown.steps] == ["done", "now", "ahead", "ahead"]
    assert (shown.level, shown.triggers[0].name) == ("warning", "response-time")
    assert not shown.go
    assert not shown.is_over


def test_gates_stand_in_their_phase_and_a_person_s_waits_for_its_signature():
    shown = release_shown(release())
    gates = {gate.name: gate for phase in shown.phases for gate in phase.gates}
    assert [len(phase.gates) for phase in shown.phases] == [0, 2, 5, 1, 0, 0]
    assert gates["QA spot check"].outcome == "waits for a signature"
    assert [name for name, gate in gates.items() if gate.open] == ["QA spot check"]
    assert (gates["release manager"].signed_by, gates["release manager"].level) == (
        "grace",
        "normal",
    )


def test_only_what_is_due_is_signed_and_what_was_refused_can_be_again():
    def signed(item, phase, outcome, by=None):
        gate = {"gate": "dba", "item": item, "part": "cutover", "text": "It is so", "phase": phase}
        return {**gate, "automatic": False, "outcome": outcome, "signed_by": by}

    gates = [
        signed("now", 3, "awaited"),
        signed("later", 5, "awaited"),
        signed("refused", 1, "refused", "ada"),
        signed("signed", 1, "signed", "ada"),
    ]
    shown = [gate for phase in release_shown(release(gates=gates)).phases for gate in phase.gates]
    assert {gate.item for gate in shown if gate.open} == {"now", "refused"}
    assert {gate.item: gate.outcome for gate in shown} == {
        "now": "waits for a signature",
        "later": "due in phase 5",
        "refused": "refused",
        "signed": "signed",
    }


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        ("passed", "normal"),
        ("failed", "critical"),
        ("warned", "warning"),
        ("unmeasured", "unmeasured"),
        ("not-applicable", "watched"),
        ("", "unmeasured"),
        ("something new", "unmeasured"),
    ],
)
def test_an_outcome_that_is_not_a_pass_never_looks_like_one(outcome, level):
    gate = {"gate": "health", "phase": 2, "automatic": True, "outcome": outcome}
    assert release_shown(release(gates=[gate])).phases[1].gates[0].level == level


@pytest.mark.parametrize(
    ("state", "phase", "found"),
    [
        ("planned", 1, ["now", "ahead", "ahead", "ahead", "ahead", "ahead"]),
        ("stabilising", 5, ["done", "done", "done", "done", "now", "ahead"]),
        ("done", 6, ["done"] * 6),
        ("rolling-back", 4, ["done", "done", "done", "left", "ahead", "ahead"]),
        ("aborted", 2, ["done", "left", "ahead", "ahead", "ahead", "ahead"]),
    ],
)
def test_where_a_release_stands(state, phase, found):
    assert standing(state=state, phase=phase) == found


def test_after_the_cutover_the_canary_is_done():
    shown = release_shown(release(state="stabilising", phase=5))
    assert {step.standing for step in shown.steps} == {"done"}


def test_its_buttons_are_what_it_may_and_all_but_a_pause_ask_first():
    shown = release_shown(release(may=["pause", "rollback", "teleport"]))
    assert shown.may == [("pause", "Pause", False), ("rollback", "Roll back", True)]


def test_a_document_with_nothing_in_it_breaks_nothing():
    shown = release_shown({})
    assert (shown.state, shown.level, shown.may) == ("unknown", "unmeasured", [])


@pytest.mark.parametrize(
    ("word", "changed", "active", "tried"),
    [
        ("promote", {}, "blue", {"canary": {"percent": 25.0}}),
        ("promote", {"state": "validating", "step": 0}, "blue", {"canary": {"percent": 1.0}}),
        ("promote", {"step": 4}, "blue", {"cutover": {"to": "green"}}),
        ("promote", {"state": "stabilising"}, "green", None),
        ("rollback", {}, "blue", {"canary": {"percent": 0}}),
        ("rollback", {"state": "stabilising"}, "green", {"cutover": {"to": "blue"}}),
        ("abort", {"state": "validating"}, "blue", {"canary": {"percent": 0}}),
        ("finalise", {"state": "stabilising"}, "green", None),
        ("pause", {}, "blue", None),
    ],
)
def test_what_a_word_will_move(word, changed, active, tried):
    assert tried_by(word, release(**changed), active) == tried


@pytest.mark.parametrize("word", ["promote", "finalise"])
def test_a_drill_s_buttons_say_that_it_goes_back(word):
    back = {"cutover": {"to": "blue"}}
    drill = release(state="stabilising", is_drill=True, active="blue", standby="green")
    assert (comes_back(word, drill), tried_by(word, drill, "green")) == (True, back)
    lasting = {**drill, "is_drill": False}
    assert (comes_back(word, lasting), tried_by(word, lasting, "green")) == (False, None)


def test_a_hotfix_over_a_drill_brings_it_back_first():
    drill = release(state="stabilising", is_drill=True, active="blue", standby="green")
    says, tried = overtaken(drill, "green")
    assert "it goes back first" in says[0]
    assert tried == {"cutover": {"to": "blue"}}
