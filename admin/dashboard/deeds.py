"""A change that a form asks for: said in numbers, confirmed by a typed word, done once.

Rules: what is dangerous is asked for twice, and the second time the word is typed that names what
it is about. The second form brings the version of the table that the numbers were made from, so
nothing else is done than what was read. A form that is sent twice is carried out once: by the API's
own idempotency key, and here for calls that know none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from admin.api.guard import problem_of
from admin.api.messages import ChangeResult, SwitchResult
from admin.api.problems import Problem
from admin.dashboard.forms import Form, new_key
from admin.dashboard.model.foresight import Foresight, connections_of, foresee
from admin.dashboard.visit import Visit


@dataclass(frozen=True, slots=True)
class Deed:
    """One call of the API, as a form asks for it.

    title: what it does, as the button says it. word: what has to be typed; empty: it isn't
    dangerous. tried: the body of the what-if that says what it moves. says: sentences that are known
    without asking. back: the page that the form stands on. versioned: it takes expected_version.
    fenced: it is a fenced switch, whose answer says what became of it.
    """

    method: str
    path: str
    title: str
    back: str
    names: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    word: str = ""
    tried: Mapping[str, Any] | None = None
    says: Sequence[str] = ()
    versioned: bool = False
    fenced: bool = False


async def carry_out(visit: Visit, form: Form, deed: Deed) -> web.StreamResponse:
    """Ask first, or do it: the page that says so."""
    if deed.word and not form.text("typed"):
        return await _ask(visit, form, deed)
    if deed.word and form.text("typed") != deed.word:
        return await _ask(visit, form, deed, f"Type {deed.word} to go on; nothing was done.", 422)
    made = deed
    if deed.versioned and form.whole("expected_version") is not None:
        made = replace(
            deed, given={**deed.given, "expected_version": form.whole("expected_version")}
        )
    try:
        answer = await _made(visit, made, form.key)
    except Exception as error:
        problem = problem_of(error)
        if problem is None or problem.status < 400:
            raise
        return await _refused(visit, form, deed, problem)
    if isinstance(answer, SwitchResult):
        return await visit.page("done.html", deed=deed, result=answer.change, switch=answer.switch)
    if isinstance(answer, ChangeResult):
        return await visit.page("done.html", deed=deed, result=answer, switch=None)
    return visit.go(deed.back)


async def _made(visit: Visit, deed: Deed, key: str) -> Any:
    async def make() -> Any:
        answer = SwitchResult if deed.fenced else None
        return await visit.ops.make(deed.method, deed.path, deed.names, deed.given, key, answer)

    return await visit.once.make(visit.session.principal.subject, key, make)


async def _refused(visit: Visit, form: Form, deed: Deed, problem: Problem) -> web.StreamResponse:
    if problem.code == "version-conflict" and deed.word:
        note = "The table has changed since: these are the numbers of now. Nothing was done."
        return await _ask(visit, form, deed, note, problem.status)
    return await visit.page("refused.html", problem.status, deed=deed, problem=problem)


async def _ask(
    visit: Visit, form: Form, deed: Deed, note: str = "", status: int = 200
) -> web.StreamResponse:
    foresight = await _foreseen(visit, deed)
    again = form
    if deed.versioned and foresight.version is not None:
        again = form.with_values({"expected_version": foresight.version})
    context = {
        "deed": deed,
        "foresight": foresight,
        "fields": again.asked,
        "action": visit.request.path,
        "note": note,
        "key": new_key(),
    }
    return await visit.page("confirm.html", status, **context)


async def _foreseen(visit: Visit, deed: Deed) -> Foresight:
    """What is known of the change before it is made."""
    if deed.tried is None:
        return Foresight(None, list(deed.says))
    found = await visit.ops.make("POST", "/v1/routing/whatif", given={**deed.tried, "limit": 1000})
    census = await visit.ops.read("/v1/census", query={"limit": 1000})
    return foresee(found, connections_of(census, found.moves), deed.says)
