"""Invariants of changes: what is answered is so, is on record, and was served by whom it names.

Pure. Each function is one invariant of the table in `checker`.
"""

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from proxy.routing.model import RoutingTable, Slot
from tests.history.facts import Facts, pid_of
from tests.history.record import OK, Changed, End, Fault
from tests.history.verdict import Result

LIVE = frozenset({"serving", "draining"})


def acknowledged_is_served(facts: Facts) -> Result:
    """After "converged" every worker with a lease serves the version, and so do all who are named."""
    result = Result()
    for call in facts.changes:
        if not call.converged:
            continue
        named = {pid_of(name) for name in call.acked}
        for pid in facts.pids:
            since = [each for each in facts.samples(pid) if each.began >= call.ended]
            result.judged += len(since)
            for sample in since:
                bound = pid in named or (sample.leased and sample.state in LIVE)
                if bound and sample.version < call.version:
                    result.violations.append(
                        f"{call.op} was called converged at version {call.version}, at"
                        f" {call.ended:.3f}; {sample.node}/{pid} said {sample.version} at"
                        f" {sample.began:.3f}"
                    )
                    break
    return result


def nothing_without_the_store(facts: Facts) -> Result:
    """Nothing is called converged by an admin that can't reach Redis."""
    result = Result()
    away = [fault for fault in facts.faults if fault.store and fault.admins]
    for call in facts.changes:
        met = [fault for fault in away if _within(call, fault)]
        result.judged += len(met)
        if call.converged and met:
            result.violations.append(
                f"{call.op} by {call.admin} was called converged during {met[0].name!r}"
            )
    return result


def _within(call: Changed, fault: Fault) -> bool:
    outages = ("pause Redis", "part admin")
    is_away = fault.name in outages and call.admin in fault.admins
    return is_away and fault.began < call.began and call.ended < fault.ended


def record_has_what_was_said(facts: Facts) -> Result:
    """What was answered as made is on record once, and shows in its table; what was refused isn't."""
    result = Result()
    for call in facts.changes:
        made = facts.committed(call)
        result.judged += 1
        said = f"{call.op} ({call.what} by {call.admin}, {call.status} {call.code})"
        if call.outcome == OK and not made:
            result.violations.append(f"{said} was answered as made, and is not on record")
        if facts.was_refused(call) and made:
            result.violations.append(f"{said} was refused, and is version {made[0].version}")
        if len(made) > 1:
            result.violations.append(f"{said} is on record {len(made)} times")
        if made and not shows(facts.tables[made[0].version], call.wants):
            result.violations.append(f"{said} wants {call.wants}; its table has something else")
        if call.outcome == OK and made and call.version < made[0].version:
            result.violations.append(f"{said} is version {made[0].version}, not {call.version}")
    return result


def shows(table: RoutingTable, wants: dict[str, Any]) -> bool:
    """Whether the table has what a change wanted."""
    pins = wants.get("pin", {})
    return (
        all(table.pins.get(tenant) == (slot and Slot(slot)) for tenant, slot in pins.items())
        and wants.get("active", table.active) == table.active
        and wants.get("percent", table.canary.basis_points / 100) == table.canary.basis_points / 100
    )


def one_of_two_wins(facts: Facts) -> Result:
    """Of changes that expect the same version one is made at most, as the next version."""
    result = Result()
    racing: defaultdict[int, list[Changed]] = defaultdict(list)
    for call in facts.changes:
        if call.expected is not None:
            racing[call.expected].append(call)
    for expected, calls in racing.items():
        racers = {call.op: call for call in calls}
        made = [version for call in racers.values() for version in facts.committed(call)]
        result.judged += len(calls)
        won = {call.op for call in calls if call.outcome == OK}
        if len(made) > 1 or len(won) > 1:
            result.violations.append(f"version {expected} was followed by several: {made or won}")
        if any(version.version != expected + 1 for version in made):
            result.violations.append(f"{made} expected version {expected}")
    return result


def versions_only_grow(facts: Facts) -> Result:
    """A worker's version never goes down."""
    result = Result()
    for pid in facts.pids:
        samples = facts.samples(pid)
        result.judged += len(samples)
        for before, after in pairwise(samples):
            if after.version < before.version:
                result.violations.append(
                    f"{after.node}/{pid} went from version {before.version} to {after.version}"
                    f" at {after.began:.3f}"
                )
    return result


def switches_end(facts: Facts) -> Result:
    """Every switch is done or undone in the end, and nobody is held."""
    result = Result()
    for end in facts.history.all(End):
        result.judged += len(end.switches)
        for name, state in end.switches.items():
            if state not in {"done", "undone"}:
                result.violations.append(f"{name} is still {state}")
        for admin, table in end.tables.items():
            if table["holds"] or table["hold_all"]:
                result.violations.append(f"{admin} still holds {table['holds'] or 'everybody'}")
    versions = Counter(
        (each.author, each.action) for each in facts.versions if each.action.startswith("switch-")
    )
    for (author, action), count in versions.items():
        if count > 1:
            result.violations.append(f"{author} made its {action} {count} times")
    return result


def all_agree_in_the_end(facts: Facts) -> Result:
    """After all is mended everything is back: admins, workers and the record have one table."""
    result = Result()
    ends = facts.history.all(End)
    if len(ends) != 1:
        result.violations.append("the run did not come to its end")
    for end in ends:
        result.judged += 1 + len(end.workers)
        if not end.healed:
            result.violations.append(f"not everything came back: {end.why}")
        wanted = sum(end.nodes.values())
        if len({_routing(table) for table in end.tables.values()}) != 1:
            result.violations.append("the admins show different tables")
        for admin, workers in end.workers.items():
            if len(workers) != wanted or set(workers.values()) != {facts.numbers[-1]}:
                result.violations.append(
                    f"{admin} sees {workers}, not {wanted} at version {facts.numbers[-1]}"
                )
        for admin, table in end.tables.items():
            pins = {
                tenant: str(slot) for tenant, slot in facts.tables[facts.numbers[-1]].pins.items()
            }
            if table["pins"] != pins:
                result.violations.append(f"{admin} shows other pins than the record makes")
    return result


def recoveries(facts: Facts) -> list[float]:
    """Seconds from the end of each fault of a store to the end of the next change that converged."""
    good = sorted((call.ended, call.began) for call in facts.changes if call.converged)
    found = []
    for fault in facts.faults:
        if not fault.store:
            continue
        after = next((ended for ended, _ in good if ended > fault.ended), None)
        if after is not None:
            found.append(after - fault.ended)
    return found


def _routing(shown: dict[str, Any]) -> str:
    """The routing that an admin shows, as one text: without who serves it."""
    beside = {"published_version", "converged", "pending"}
    return json.dumps({name: shown[name] for name in sorted(shown.keys() - beside)})
