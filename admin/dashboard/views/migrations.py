"""Migrations: plans with their waves, what was done, and which versions the schemas serve."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from admin.api.compatibility_messages import Compatibility
from admin.api.migration_messages import MigrationHistoryPage, PlansPage, PlanState
from admin.api.problems import Problem
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.migrations import WORDS, plan_shown
from admin.dashboard.model.words import counted, duration
from admin.dashboard.visit import Visit
from admin.migrations.states import PlanEvent

HOME = "/ui/migrations"
PAGE = 20
PHASES = ("expand", "backfill", "contract")
_PLANS = "/v1/migrations/plans"
_DANGEROUS = frozenset({PlanEvent.RUN, PlanEvent.CANCEL, PlanEvent.RETRY, PlanEvent.RESUME})


async def look(visit: Visit) -> web.StreamResponse:
    """Plans, newest first, and whether all can go to standby and back."""
    cursor = visit.query.get("cursor", "")
    plans: PlansPage = await visit.ops.read(_PLANS, query={"cursor": cursor, "limit": PAGE})
    query = {"unserved": "true", "limit": PAGE}
    matrix: Compatibility = await visit.ops.read("/v1/migrations/compatibility", query=query)
    more = f"{HOME}?{urlencode({'cursor': plans.next})}" if plans.next else ""
    return await visit.page(
        "migrations.html",
        plans=plans.items,
        begins=not cursor,
        first=HOME,
        more=more,
        matrix=matrix,
        phases=PHASES,
        can_plan=bool(visit.ops.api.parts.migrations.servers),
    )


async def plan(visit: Visit) -> web.StreamResponse:
    """One plan."""
    names = {"plan": visit.named("plan")}
    state: PlanState = await visit.ops.read(_PLANS + "/{plan}", names)
    query = {"plan": names["plan"], "limit": PAGE}
    history: MigrationHistoryPage = await visit.ops.read("/v1/migrations/history", query=query)
    return await visit.page("plan.html", shown=plan_shown(state), history=history.items)


async def say(visit: Visit, form: Form) -> web.StreamResponse:
    """Begin the plan, pause it, let it go on, try again, give it up."""
    name, word = visit.named("plan"), visit.named("word")
    if word not in WORDS:
        raise Problem("not-found", f"a plan knows {', '.join(WORDS)}")
    dangerous = word in _DANGEROUS
    says: list[str] = []
    if dangerous and form.text("typed") != name:
        state: PlanState = await visit.ops.read(_PLANS + "/{plan}", {"plan": name})
        says = _says(word, state)
    deed = Deed(
        *("POST", f"{_PLANS}/{{plan}}/{word}"),
        title=f"{word.capitalize()} the plan {name}",
        back=f"{HOME}/plans/{name}",
        names={"plan": name},
        word=name if dangerous else "",
        says=says,
    )
    return await carry_out(visit, form, deed)


def _says(word: str, state: PlanState) -> list[str]:
    """What the word means for this plan, in numbers."""
    shown = plan_shown(state)
    left = sum(wave.jobs - wave.done - wave.failed for wave in shown.waves)
    failed = sum(wave.failed for wave in shown.waves)
    about = f"{counted(left, 'job')} of {counted(state.jobs, 'job')}"
    whom = f"{counted(state.targets, 'schema')} in {counted(len(shown.waves), 'wave')}"
    match word:
        case PlanEvent.RUN | PlanEvent.RESUME:
            return [f"{about} are given out to the workers, for {whom}."]
        case PlanEvent.RETRY:
            return [f"{counted(failed, 'job')} that failed, or wait for one, are tried again."]
    return [f"{about} are not done any more; what runs now ends. What is done stays done."]


async def make(visit: Visit, form: Form) -> web.StreamResponse:
    """Make a plan, after it was tried: it doesn't run yet."""
    given = _wish(form)
    says: list[str] = []
    if form.text("typed") != "plan":
        tried: PlanState = await visit.ops.make("POST", _PLANS, given={**given, "dry_run": True})
        says = _foreseen(tried)
    deed = Deed("POST", _PLANS, "Make this plan", HOME, {}, given, "plan", None, says)
    return await carry_out(visit, form, deed)


def _wish(form: Form) -> dict[str, Any]:
    given: dict[str, Any] = {"phases": form.every("phases") or ["expand"]}
    if form.text("to"):
        given["to"] = form.text("to")
    if form.words("pilots"):
        given["pilots"] = form.words("pilots")
    if form.words("tenants"):
        given["tenants"] = form.words("tenants")
    budget = form.whole("failure_budget")
    if budget is not None:
        given["failure_budget"] = budget
    return given


def _foreseen(tried: PlanState) -> list[str]:
    """A plan that was tried, in numbers."""
    files = ", ".join(f"{each.path} ({each.phase})" for each in tried.runs) or "none"
    waves = ", ".join(f"{wave.name}: {sum(wave.jobs.values())}" for wave in tried.waves)
    took = "it was never applied before, so how long it takes is not known"
    if tried.estimate_s is not None:
        took = f"about {duration(tried.estimate_s)} of work"
    jobs = f"{counted(tried.jobs, 'job')} on {counted(tried.targets, 'schema')}"
    return [
        f"Migrations: {files}.",
        f"{jobs}; {tried.up_to_date} have them already.",
        f"Jobs by wave: {waves}; {took}.",
        "It is written down, and begins when you say so on its page.",
    ]


LOOKS = {HOME: look, HOME + "/plans/{plan}": plan}
SENDS = {HOME + "/plans": make, HOME + "/plans/{plan}/{word}": say}
