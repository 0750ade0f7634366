"""The checker: a history in, a verdict out. Pure.

The numbers are those of the switching invariants in docs/testing.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from tests.history import of_changes, of_requests
from tests.history.facts import Facts
from tests.history.record import History, Step
from tests.history.verdict import Result, Verdict

INVARIANTS: Mapping[str, Callable[[Facts], Result]] = {
    "1 after the ack, only the new slot": of_requests.go_where_acknowledged,
    "2 after a fenced switch, no way back": of_requests.no_way_back,
    "2 during a step, nothing is served": of_requests.nothing_during_steps,
    "3 sent once": of_requests.sent_once,
    "4 failures are explained": of_requests.failures_are_explained,
    "5 answers belong to their requests": of_requests.answers_belong,
    "7 nothing unasked": of_requests.nothing_unasked,
    "9 versions only grow": of_changes.versions_only_grow,
    "10 converged means served": of_changes.acknowledged_is_served,
    "11 nothing acknowledged without Redis": of_changes.nothing_without_the_store,
    "14 of two, one wins": of_changes.one_of_two_wins,
    "the record has what was said": of_changes.record_has_what_was_said,
    "every switch ends": of_changes.switches_end,
    "all agree in the end": of_changes.all_agree_in_the_end,
}


def check(history: History) -> Verdict:
    """Judge a history. ValueError if it is none."""
    facts = Facts(history)
    results = {name: judge(facts) for name, judge in INVARIANTS.items()}
    return Verdict(facts.plan.seed, results, _figures(facts))


def _figures(facts: Facts) -> dict[str, Any]:
    requests, changes = facts.requests, facts.changes
    recovered = sorted(of_changes.recoveries(facts))
    return {
        "requests": dict(Counter(each.outcome for each in requests)),
        "refused or cut": dict(
            Counter(each.code or each.error for each in requests if each.outcome != "ok")
        ),
        "changes": dict(Counter(each.outcome for each in changes)),
        "converged": sum(each.converged for each in changes),
        "not made": dict(Counter(each.code for each in changes if each.outcome != "ok")),
        "versions": len(facts.versions),
        "published anew": sum(each.action == "republish" for each in facts.versions),
        "fenced, done": sum(each.action == "switch-commit" for each in facts.versions),
        "fenced, undone": sum(each.action == "switch-release" for each in facts.versions),
        "steps": len(facts.history.all(Step)),
        "work": of_requests.orphans(facts),
        "workers": len(facts.pids),
        "faults": dict(Counter(each.name for each in facts.faults)),
        "recovered after (s)": (
            {"median": round(median(recovered), 2), "most": round(recovered[-1], 2)}
            if recovered
            else {}
        ),
    }
