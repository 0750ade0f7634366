"""The checker of `tests.history` against histories made by hand: clean ones, and one for each fault."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from tests.history.checker import INVARIANTS, check
from tests.history.mutations import MUTATIONS, changed
from tests.history.nemesis import KINDS
from tests.history.record import (
    FAIL,
    INFO,
    OK,
    Changed,
    End,
    Fault,
    History,
    Line,
    Plan,
    Request,
    Sample,
    Served,
    Step,
    Version,
    Worker,
    encode,
    read,
)
from tests.support.fleet import ROOT

PIN_A = {"op": "pin", "tenant": "acme", "slot": "blue"}
PIN_B = {"op": "pin", "tenant": "acme", "slot": "green"}
NAMES = {("a", 11): "a/11.aa", ("b", 22): "b/22.bb"}
"""Node a serves without a lease, node b parks."""


def request(number: int, node: str, began: float, slot: str, **more: Any) -> Request:
    """A POST of acme that was answered within 0.1 s, unless something else is said."""
    told: dict[str, Any] = {
        "id": f"r{number}",
        "tenant": "acme",
        "method": "POST",
        "node": node,
        "worker": {"a": "wa", "b": "wb"}[node],
        "began": began,
        "ended": began + 0.1,
        "outcome": OK,
        "slot": slot,
        "said": f"r{number} acme {slot}",
    }
    return Request(**(told | more))


def served(number: int, began: float, slot: str, **more: Any) -> Served:
    """The same as its endpoint saw it."""
    told: dict[str, Any] = {"id": f"r{number}", "tenant": "acme", "method": "POST", "slot": slot}
    return Served(**(told | {"began": began + 0.01, "ended": began + 0.09} | more))


def change(op: str, began: float, version: int, slot: str, **more: Any) -> Changed:
    """A pin of acme that all workers served within 0.2 s."""
    told: dict[str, Any] = {
        "op": op,
        "admin": "admin-1",
        "what": "pin",
        "began": began,
        "ended": began + 0.2,
        "outcome": OK,
        "wants": {"pin": {"acme": slot}},
        "converged": True,
        "version": version,
        "acked": tuple(NAMES.values()),
    }
    return Changed(**(told | more))


def sample(node: str, began: float, version: int, **more: Any) -> Sample:
    told: dict[str, Any] = {
        "node": node,
        "pid": {"a": 11, "b": 22}[node],
        "version": version,
        "leased": True,
    }
    told |= {"state": "serving", "began": began, "ended": began + 0.01}
    return Sample(**(told | more))


def version(number: int, author: str, *operations: dict[str, Any], action: str = "pin") -> Version:
    return Version(version=number, author=author, action=action, operations=operations)


def end(versions: int, slot: str, **more: Any) -> End:
    table = {"version": versions, "pins": {"acme": slot}, "holds": {}, "hold_all": ""}
    told: dict[str, Any] = {
        "at": 100.0,
        "healed": True,
        "why": "",
        "nodes": {"a": 1, "b": 1},
        "tables": {"admin-1": table, "admin-2": table},
        "workers": {
            name: dict.fromkeys(NAMES.values(), versions) for name in ("admin-1", "admin-2")
        },
        "switches": {},
    }
    return End(**(told | more))


PLAN = Plan(
    seed=7,
    seconds=10.0,
    policies={"a": "serve", "b": "park"},
    lease_s=2.0,
    tenants=("acme",),
)
WORKERS = [Worker(node="a", pid=11, prefix="wa"), Worker(node="b", pid=22, prefix="wb")]


def moved() -> list[Line]:
    """acme is pinned to blue at 1.0, and to green at 2.0; before and after each node is asked."""
    lines: list[Line] = [PLAN, *WORKERS]
    lines += [change("op-1", 1.0, 1, "blue"), change("op-2", 2.0, 2, "green")]
    lines += [version(1, "op-1", PIN_A), version(2, "op-2", PIN_B)]
    for number, (node, began, slot) in enumerate(
        [("a", 1.5, "blue"), ("b", 1.5, "blue"), ("a", 2.5, "green"), ("b", 2.5, "green")]
    ):
        lines += [request(number, node, began, slot), served(number, began, slot)]
    lines += [sample(node, 1.4, 1) for node in "ab"] + [sample(node, 2.4, 2) for node in "ab"]
    return [*lines, end(2, "green")]


SWITCHED = (
    version(1, "op-1", PIN_A),
    version(2, "op-2", {"op": "hold", "switch": "s-1", "tenants": ["acme"]}, action="switch-hold"),
    version(3, "op-2", PIN_B, {"op": "release", "switch": "s-1"}, action="switch-commit"),
)


def fenced() -> list[Line]:
    """acme is moved to green by a fenced switch; its step runs from 2.2 to 2.4."""
    lines: list[Line] = [PLAN, *WORKERS, change("op-1", 1.0, 1, "blue"), *SWITCHED]
    lines += [change("op-2", 2.0, 3, "green", ended=2.6, fenced=True, switch="s-1")]
    lines += [Step(switch="s-1", tenants=("acme",), began=2.2, ended=2.4)]
    lines += [request(1, "a", 1.5, "blue"), served(1, 1.5, "blue")]
    # It waited for the switch to end.
    lines += [request(2, "b", 2.1, "green", ended=2.6), served(2, 2.45, "green")]
    return [*lines, end(3, "green", switches={"s-1": "done"})]


def broken(lines: Sequence[Line]) -> set[str]:
    """The invariants that this history breaks, by the first word of their names."""
    verdict = check(History(lines))
    assert not verdict.good or not any(r.violations for r in verdict.results.values())
    return {name.split(" ")[0] for name, result in verdict.results.items() if result.violations}


@pytest.mark.parametrize("clean", [moved, fenced])
def test_a_clean_history_passes(clean: Callable[[], list[Line]]) -> None:
    verdict = check(History(clean()))
    assert verdict.good, verdict.table()
    assert verdict.results["1 after the ack, only the new slot"].judged >= 2


def test_what_is_judged_is_counted() -> None:
    verdict = check(History(fenced()))
    assert verdict.results["2 during a step, nothing is served"].judged == 2
    assert verdict.results["2 after a fenced switch, no way back"].judged == 1
    assert verdict.figures["fenced, done"] == 1


def test_a_history_is_read_as_it_was_written(tmp_path: Any) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(encode(line) for line in fenced()))
    assert check(read(path)).document() == check(History(fenced())).document()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(msgspec.DecodeError):
        read(path)


# ── one fault each ────────────────────────────────────────────────────────────────────────────


def old_slot_after_the_ack(node: str) -> list[Line]:
    return [*moved(), request(9, node, 2.5, "blue"), served(9, 2.5, "blue")]


@pytest.mark.parametrize("node", ["a", "b"])
def test_the_old_slot_after_the_ack(node: str) -> None:
    assert broken(old_slot_after_the_ack(node)) == {"1"}


def test_who_serves_without_a_lease_and_did_not_ack_is_promised_nothing() -> None:
    lines = [*moved(), request(9, "a", 2.25, "blue"), served(9, 2.25, "blue")]
    unaware = [
        change("op-2", 2.0, 2, "green", acked=("b/22.bb",)) if each == lines[4] else each
        for each in lines
    ]
    assert broken(unaware) == set()


def test_who_parks_without_a_lease_is_bound_by_every_ack() -> None:
    lines = [*moved(), request(9, "b", 2.25, "blue"), served(9, 2.25, "blue")]
    unaware = [
        change("op-2", 2.0, 2, "green", acked=("a/11.aa",)) if each == lines[4] else each
        for each in lines
    ]
    assert broken(unaware) == {"1"}


def test_before_the_ack_and_across_the_next_change_either_slot_will_do() -> None:
    lines = moved()
    for number, (began, slot) in enumerate([(2.05, "blue"), (2.05, "green"), (1.95, "green")], 10):
        lines += [request(number, "a", began, slot), served(number, began, slot)]
    assert broken(lines) == set()


def test_a_slot_that_no_version_allows() -> None:
    lines = [each for each in moved() if not isinstance(each, Sample)]
    lines += [request(9, "a", 1.5, "green"), served(9, 1.5, "green")]
    assert broken(lines) == {"1"}


def test_served_during_a_step() -> None:
    lines = [*fenced(), request(9, "a", 1.9, "blue", ended=2.4)]
    assert broken([*lines, served(9, 1.9, "blue", ended=2.3)]) == {"2"}


def test_work_whose_connection_broke_is_counted_and_not_judged() -> None:
    lines = [
        *fenced(),
        request(9, "a", 1.9, "", ended=2.0, outcome=INFO, error="IncompleteReadError"),
        served(9, 1.9, "blue", ended=2.3, cut=True),
        Fault(name="kill worker", began=1.9, ended=2.0, nodes=("a",), dead=(11,)),
    ]
    assert broken(lines) == set()
    assert check(History(lines)).figures["work"] == {"cut off": 1, "of it during a step": 1}


def test_back_to_the_old_slot_after_a_step() -> None:
    lines = [*fenced(), request(9, "a", 2.42, "blue"), served(9, 2.42, "blue")]
    assert "2" in broken(lines)


def test_sent_twice() -> None:
    assert broken([*moved(), served(2, 2.5, "green")]) == {"3"}


def test_a_get_may_be_sent_twice_but_not_three_times() -> None:
    got = {"method": "GET"}
    lines = [*moved(), request(9, "a", 2.5, "green", **got)]
    twice = [served(9, 2.5, "green", **got), served(9, 2.51, "green", **got)]
    assert broken([*lines, *twice]) == set()
    assert broken([*lines, *twice, served(9, 2.52, "green", **got)]) == {"3"}


def test_refused_and_served() -> None:
    refused = request(9, "b", 2.5, "", outcome=FAIL, status=503, code="parked-too-long")
    fault = Fault(name="part node", began=2.0, ended=3.0, nodes=("b",), store=True)
    assert broken([*moved(), fault, refused]) == set()
    assert broken([*moved(), fault, refused, served(9, 2.5, "green")]) == {"3"}


def test_answered_and_not_served() -> None:
    assert broken([*moved(), request(9, "a", 2.5, "green")]) == {"3"}


@pytest.mark.parametrize(
    ("outcome", "code", "fault", "good"),
    [
        (INFO, "", None, False),
        (INFO, "", Fault(name="kill worker", began=2.4, ended=3, nodes=("a",), dead=(11,)), True),
        (INFO, "", Fault(name="kill worker", began=2.4, ended=3, nodes=("a",), dead=(12,)), False),
        (INFO, "", Fault(name="kill worker", began=2.4, ended=3, nodes=("b",), dead=(22,)), False),
        (INFO, "", Fault(name="part node", began=2.4, ended=3, nodes=("a",), store=True), False),
        (INFO, "", Fault(name="reload", began=2.4, ended=3, nodes=("a",), retired=(11,)), False),
        (FAIL, "queue-timeout", Fault(name="pause worker", began=2, ended=3, nodes=("a",)), False),
        # Node a goes on without a lease: nobody waits there for Redis.
        (
            FAIL,
            "parked-too-long",
            Fault(name="x", began=2, ended=3, nodes=("a",), store=True),
            False,
        ),
    ],
)
def test_failures(outcome: str, code: str, fault: Fault | None, good: bool) -> None:
    lines = [*moved(), request(9, "a", 2.5, "", outcome=outcome, code=code)]
    assert broken([*lines, fault] if fault else lines) == (set() if good else {"4"})


def test_an_idle_connection_may_end_with_its_worker_but_not_a_request() -> None:
    lost = request(9, "a", 2.5, "", outcome=INFO, kept=True)
    reload = Fault(name="reload", began=2.4, ended=3, nodes=("a",), retired=(11,))
    assert broken([*moved(), reload, lost]) == set()
    assert broken([*moved(), reload, lost, served(9, 2.5, "green")]) == {"4"}


def test_anothers_answer() -> None:
    lines = [*moved(), request(9, "a", 2.5, "green", said="r8 acme green"), served(9, 2.5, "green")]
    assert broken(lines) == {"5"}


def test_another_slot_than_the_proxy_says() -> None:
    lines = [*moved(), request(9, "a", 2.5, "green", said="r9 acme blue"), served(9, 2.5, "blue")]
    assert broken(lines) == {"5"}


def test_what_nobody_sent() -> None:
    assert broken([*moved(), served(9, 2.5, "green")]) == {"7"}


def test_another_tenants() -> None:
    lines = [*moved(), request(9, "a", 2.5, "green"), served(9, 2.5, "green", tenant="other")]
    assert broken(lines) == {"7"}


def test_a_version_that_goes_down() -> None:
    late = [sample("a", 3.0, 2), sample("a", 3.1, 1, leased=False)]
    assert "9" in broken([*moved(), *late])


def test_converged_and_not_served() -> None:
    assert "10" in broken([*moved(), sample("b", 2.45, 1)])


def test_converged_without_one_whose_lease_is_over() -> None:
    lines = [
        change("op-2", 2.0, 2, "green", acked=("a/11.aa",)) if isinstance(each, Changed) and
        each.op == "op-2" else each for each in moved() if not isinstance(each, Sample)
    ]  # fmt: skip
    over = sample("b", 2.3, 1, leased=False)
    assert broken([*lines, over]) == set()
    assert broken([*lines, sample("b", 2.3, 1)]) == {"10"}


def test_acknowledged_without_redis() -> None:
    away = Fault(name="pause Redis", began=1.9, ended=2.5, admins=("admin-1",), store=True)
    assert broken([*moved(), away]) == {"11"}
    other = Fault(name="part admin", began=1.9, ended=2.5, admins=("admin-2",), store=True)
    assert broken([*moved(), other]) == set()


def test_two_winners() -> None:
    lines = [each for each in moved() if not isinstance(each, Changed)]
    racing = [
        change("op-1", 1.0, 1, "blue", expected=0),
        change("op-2", 2.0, 2, "green", expected=0),
    ]
    assert broken([*lines, *racing]) == {"14"}
    lost = change("op-3", 2.0, 0, "green", expected=0, outcome=FAIL, converged=False)
    assert broken([*lines, racing[0], change("op-2", 2.0, 2, "green"), lost]) == set()


@pytest.mark.parametrize(
    "call",
    [
        change("op-9", 3.0, 3, "green", converged=False),
        change("op-2", 2.0, 2, "green", outcome=FAIL, converged=False, code="store-unavailable"),
        change("op-2", 2.0, 2, "blue"),
        change("op-2", 2.0, 1, "green"),
    ],
    ids=["not on record", "refused and made", "something else", "another version"],
)
def test_what_was_said_is_not_on_record(call: Changed) -> None:
    lines = [each for each in moved() if not (isinstance(each, Changed) and each.op == call.op)]
    assert broken([*lines, call]) == {"the"}


def test_a_change_that_was_made_twice() -> None:
    lines = [each for each in moved() if not isinstance(each, End)]
    assert "the" in broken([*lines, version(3, "op-2", PIN_B), end(3, "green")])


def test_a_change_that_was_tried_twice() -> None:
    lines = [each for each in moved() if not (isinstance(each, Changed) and each.op == "op-2")]
    lost = change("op-2", 2.0, 0, "green", outcome=INFO, converged=False)
    refused = change("op-2", 2.3, 0, "green", outcome=FAIL, converged=False)
    assert broken([*lines, lost, refused]) == set(), "the first try may have made it"
    assert broken([*lines, refused]) == {"the"}
    assert broken([*lines, lost, change("op-2", 2.3, 2, "green")]) == set()


def test_nobody_knows_whether_it_was_made() -> None:
    lines = [each for each in moved() if not (isinstance(each, Changed) and each.op == "op-2")]
    unknown = change("op-2", 2.0, 0, "green", outcome=INFO, converged=False)
    assert broken([*lines, unknown]) == set()


@pytest.mark.parametrize(
    "more", [{"switches": {"s-1": "holding"}}, {"tables": {"admin-1": {"holds": {"acme": "s-1"}}}}]
)
def test_a_switch_that_does_not_end(more: dict[str, Any]) -> None:
    told = end(3, "green", **{n: v for n, v in more.items() if n == "switches"})
    for admin, other in more.get("tables", {}).items():
        told.tables[admin] = told.tables[admin] | other
    lines = [each for each in fenced() if not isinstance(each, End)]
    assert "every" in broken([*lines, told])


@pytest.mark.parametrize(
    "more",
    [
        {"healed": False, "why": "node a serves again"},
        {"workers": {"admin-1": {"a/11.aa": 2}}},
        {"workers": {"admin-1": {"a/11.aa": 2, "b/22.bb": 1}}},
        {"tables": {"admin-1": {"pins": {"acme": "blue"}, "holds": {}, "hold_all": ""}}},
    ],
    ids=["not healed", "one missing", "one behind", "another table"],
)
def test_they_do_not_agree_in_the_end(more: dict[str, Any]) -> None:
    lines = [each for each in moved() if not isinstance(each, End)]
    assert broken([*lines, end(2, "green", **more)]) == {"all"}


def test_a_run_that_broke_off() -> None:
    assert broken([each for each in moved() if not isinstance(each, End)]) == {"all"}


def test_each_invariant_has_a_history_that_breaks_it() -> None:
    firsts = {name.split(" ")[0] for name in INVARIANTS}
    assert firsts == {"1", "2", "3", "4", "5", "7", "9", "10", "11", "14", "the", "every", "all"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_fits_the_code(name: str) -> None:
    mutation = MUTATIONS[name]
    text = (ROOT / mutation.file).read_text("utf-8")
    assert changed(name, text) != text
    assert set(mutation.faults) <= set(KINDS)
    assert all(any(each.startswith(broken) for each in INVARIANTS) for broken in mutation.breaks)
