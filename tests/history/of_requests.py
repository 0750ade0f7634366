"""Invariants of requests: where they went, how often, and what became of them.

Pure. Each function is one invariant of the table in `checker`.
"""

from collections import Counter, defaultdict

from tests.history.facts import Facts
from tests.history.record import INFO, OK, Request, Served, Step, Version
from tests.history.verdict import Result

PARKED = frozenset({"parked-too-long", "parking-full"})
NO_TABLE = "no-routing-table"
_SETTLES_S = 2.0
"""How long after a fault its effect on waiting requests may last, beside the lease and the wait."""


def go_where_acknowledged(facts: Facts) -> Result:
    """Begun after ack(k), answered before the next change begins: slot(k), through every worker."""
    result = Result()
    for request in facts.requests:
        if request.outcome != OK:
            continue
        least = facts.least(request)
        if not least:
            result.unjudged += 1
            continue
        result.judged += 1
        latest = max(facts.latest(request.ended), least)
        allowed = facts.slots(request.tenant, least, latest)
        if request.slot not in allowed:
            result.violations.append(
                f"{request.id} of {request.tenant} through {_by(facts, request)} at"
                f" {request.began:.3f} went to {request.slot}; versions {least} to {latest} allow"
                f" {sorted(allowed) or 'nobody'}"
            )
    return result


def nothing_during_steps(facts: Facts) -> Result:
    """While the step of a fenced switch runs, no endpoint works for whom it holds."""
    result = Result()
    for step, _ in _last_steps(facts):
        for served in _of(facts, step.tenants):
            if served.cut:
                continue
            result.judged += 1
            if served.began < step.ended and step.began < served.ended:
                result.violations.append(
                    f"{served.slot} served {served.id} of {served.tenant} from {served.began:.3f} to"
                    f" {served.ended:.3f}, within the step of {step.switch},"
                    f" {step.began:.3f} to {step.ended:.3f}"
                )
    return result


def no_way_back(facts: Facts) -> Result:
    """After the step of a fenced switch its tenants are served by the new slot alone."""
    result = Result()
    for step, commit in _last_steps(facts):
        version = commit.version
        for served in _of(facts, step.tenants):
            until = _moved(facts, served.tenant, version)
            if not step.ended <= served.began or served.ended >= until:
                continue
            result.judged += 1
            wanted = facts.slot_at(served.tenant, version)
            if served.slot != wanted:
                result.violations.append(
                    f"{served.slot} served {served.id} of {served.tenant} from {served.began:.3f},"
                    f" after {step.switch} had moved it to {wanted}"
                )
    return result


def sent_once(facts: Facts) -> Result:
    """What is not repeatable reaches one endpoint at most, once; the rest at most twice."""
    result = Result()
    times = Counter(served.id for served in facts.served)
    for request in facts.requests:
        result.judged += 1
        most = 1 if request.method == "POST" else 2
        if times[request.id] > most:
            result.violations.append(
                f"{request.method} {request.id} reached endpoints {times[request.id]} times"
            )
        if request.outcome == OK and not times[request.id]:
            result.violations.append(f"{request.id} was answered, and no endpoint saw it")
        if request.outcome not in {OK, INFO} and times[request.id]:
            result.violations.append(
                f"{request.id} was refused ({request.code}), and an endpoint saw it"
            )
    return result


def nothing_unasked(facts: Facts) -> Result:
    """Nothing reaches an endpoint that no client sent, as it was sent."""
    result = Result()
    asked = {request.id: request for request in facts.requests}
    for served in facts.served:
        result.judged += 1
        request = asked.get(served.id)
        if request is None:
            result.violations.append(f"{served.slot} served {served.id}, which nobody sent")
        elif (request.tenant, request.method) != (served.tenant, served.method):
            result.violations.append(
                f"{served.id} was {request.method} of {request.tenant}, and"
                f" {served.slot} got {served.method} of {served.tenant}"
            )
    return result


def answers_belong(facts: Facts) -> Result:
    """Each answer belongs to its request, its tenant and the slot that the proxy names."""
    result = Result()
    for request in facts.requests:
        if request.outcome != OK:
            continue
        result.judged += 1
        wanted = f"{request.id} {request.tenant} {request.slot}"
        if request.said != wanted:
            result.violations.append(f"the answer to {wanted!r} is {request.said!r}")
    return result


def failures_are_explained(facts: Facts) -> Result:
    """A request fails by its own worker's death, or by waiting too long where it is to wait."""
    result = Result()
    for request in facts.requests:
        result.judged += 1
        if request.outcome != OK and not _is_explained(facts, request):
            result.violations.append(
                f"{request.id} of {request.tenant} through {_by(facts, request)},"
                f" {request.began:.3f} to {request.ended:.3f}: {request.outcome}"
                f" {request.status} {request.code or request.error}"
            )
    return result


def _is_explained(facts: Facts, request: Request) -> bool:
    began, ended, node = request.began, request.ended, request.node
    if request.code in PARKED:
        slack_s = facts.plan.lease_s + _SETTLES_S
        met = facts.faults_at(began, ended, node, slack_s)
        parks = facts.plan.policies.get(node) == "park"
        return (parks and any(each.store or each.paused for each in met)) or _is_held(
            facts, request
        )
    if request.code == NO_TABLE:
        return any(each.store for each in facts.faults_at(began, ended, node, _SETTLES_S))
    if request.outcome != INFO or request.code:
        return False
    worker = facts.workers.get(request.worker)
    if worker is not None and _is_retired(facts, request, worker.pid):
        # RFC 9112 §9.3.1: an idle connection may end just as the next request is sent.
        return request.kept and not any(each.id == request.id for each in facts.served)
    if worker is not None:
        # It may have kept a connection that nobody used since.
        return any(worker.pid in each.dead for each in facts.faults if each.began <= ended)
    return any(each.dead for each in facts.faults_at(began, ended, node, _SETTLES_S))


def _is_retired(facts: Facts, request: Request, pid: int) -> bool:
    return any(pid in each.retired for each in facts.faults if each.began <= request.ended)


def _is_held(facts: Facts, request: Request) -> bool:
    """Whether a fenced switch may have held its tenant until something broke: a fault beside."""
    return any(
        call.fenced and call.began <= request.ended and request.tenant in call.wants["pin"]
        for call in facts.changes
        if request.began <= call.ended + facts.plan.lease_s
    )


def _last_steps(facts: Facts) -> list[tuple[Step, Version]]:
    """Of each switch that was done the last call of its step, for an earlier one was given up.

    With the version that moved its tenants.
    """
    last = {step.switch: step for step in facts.history.all(Step) if not step.cut}
    commits = ((step, facts.commits.get(step.switch)) for step in last.values())
    return [(step, commit) for step, commit in commits if commit is not None]


def _of(facts: Facts, tenants: tuple[str, ...]) -> list[Served]:
    return [served for served in facts.served if not tenants or served.tenant in tenants]


def _moved(facts: Facts, tenant: str, version: int) -> float:
    """When a later change may first have moved the tenant from where this version sends it."""
    slot = facts.slot_at(tenant, version)
    later = [each for each in facts.numbers if each > version]
    moved = (facts.begun[each] for each in later if facts.slot_at(tenant, each) != slot)
    return next(moved, float("inf"))


def _by(facts: Facts, request: Request) -> str:
    worker = facts.workers.get(request.worker)
    return f"{request.node}/{worker.pid}" if worker else f"{request.node}/?"


def orphans(facts: Facts) -> dict[str, int]:
    """Work whose connection broke: how much there was, and how much of it met a step."""
    cut = [served for served in facts.served if served.cut]
    by_tenant: defaultdict[str, list[Served]] = defaultdict(list)
    for served in cut:
        by_tenant[served.tenant].append(served)
    met = sum(
        served.began < step.ended and step.began < served.ended
        for step, _ in _last_steps(facts)
        for tenant in step.tenants
        for served in by_tenant[tenant]
    )
    return {"cut off": len(cut), "of it during a step": met}
