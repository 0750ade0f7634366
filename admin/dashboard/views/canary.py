"""The canary: its weight, what another would do, its ramp, and who makes the traffic."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from admin.api.canary_messages import TrafficPage, WhatIfState
from admin.api.guard import problem_of
from admin.api.messages import CanaryState
from admin.api.problems import Problem
from admin.canary.model import Event
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.canary import WORDS, ramp_shown
from admin.dashboard.model.words import counted, duration
from admin.dashboard.visit import Visit

HOME = "/ui/canary"
BUSIEST = 10
"""Tenants that are shown with their share of the traffic."""


async def look(visit: Visit) -> web.StreamResponse:
    """The canary; with `percent`, what that weight would do."""
    canary: CanaryState = await visit.ops.read("/v1/canary")
    ramp = await visit.ops.found("/v1/canary/ramp")
    try:
        traffic: TrafficPage | None = await visit.ops.read("/v1/traffic", query={"limit": BUSIEST})
    except Exception as error:
        if problem_of(error) is None:
            raise
        traffic = None
    found, fault = await _tried(visit)
    return await visit.page(
        "canary.html",
        canary=canary,
        ramp=ramp_shown(ramp),
        traffic=traffic,
        asked=visit.query,
        found=found,
        fault=fault,
    )


async def _tried(visit: Visit) -> tuple[WhatIfState | None, str]:
    """What the weight that is asked for would do, or why that can't be said."""
    asked = visit.query
    if not asked.get("percent"):
        return None, ""
    try:
        body = {"canary": _weight(Form(list(asked.items()))), "limit": 50}
        return await visit.ops.make("POST", "/v1/routing/whatif", given=body), ""
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return None, problem.detail


def _weight(form: Form) -> dict[str, Any]:
    """The canary that the form asks for."""
    asked: dict[str, Any] = {"percent": form.number("percent"), "by": form.text("by") or "count"}
    if form.text("unit"):
        asked["unit"] = form.text("unit")
    return asked


async def weigh(visit: Visit, form: Form) -> web.StreamResponse:
    """Set the weight."""
    asked = _weight(form)
    if asked["percent"] is None:
        raise Problem("invalid-change", "percent: which weight?")
    of = " of the traffic" if asked["by"] == "traffic" else ""
    deed = Deed(
        *("PUT", "/v1/canary"),
        title=f"Set the canary to {asked['percent']:g} %{of}",
        back=HOME,
        given=asked,
        word=await _standby(visit),
        tried={"canary": asked},
        versioned=True,
    )
    return await carry_out(visit, form, deed)


async def begin(visit: Visit, form: Form) -> web.StreamResponse:
    """Begin a ramp."""
    steps = [_number(word) for word in form.words("steps")]
    dwells = [_number(word) for word in form.words("dwell_s")]
    given: dict[str, Any] = {"steps": steps, "dwell_s": dwells, "by": form.text("by") or "count"}
    if not steps or not dwells:
        raise Problem("invalid-change", "a ramp has steps, and a time for each")
    deed = Deed(
        *("POST", "/v1/canary/ramp"),
        title=f"Begin a ramp to {steps[-1]:g} %",
        back=HOME,
        given=given,
        word=await _standby(visit),
        tried={"canary": {"percent": steps[-1], "by": given["by"]}},
        says=[
            f"It takes {counted(len(steps), 'step')}: {', '.join(f'{each:g} %' for each in steps)}.",
            f"It goes on by itself, {_time(steps, dwells)}; at its last step:",
        ],
        versioned=True,
    )
    return await carry_out(visit, form, deed)


def _time(steps: list[float], dwells: list[float]) -> str:
    if len(dwells) == 1:
        return f"{duration(dwells[0])} a step"
    return f"{duration(sum(dwells))} in all" if len(dwells) <= len(steps) else ""


async def say(visit: Visit, form: Form) -> web.StreamResponse:
    """Pause the ramp, let it go on, turn it around, end it."""
    word = visit.named("word")
    if word not in WORDS:
        raise Problem("not-found", f"a ramp knows {', '.join(WORDS)}")
    deed = Deed("POST", f"/v1/canary/ramp/{Event(word)}", f"{word.capitalize()} the ramp", HOME)
    return await carry_out(visit, form, deed)


async def _standby(visit: Visit) -> str:
    canary: CanaryState = await visit.ops.read("/v1/canary")
    return canary.standby


def _number(word: str) -> float:
    try:
        return float(word.removesuffix("%"))
    except ValueError:
        raise Problem("invalid-change", f"{word!r} is not a number") from None


LOOKS: Mapping[str, Any] = {HOME: look}
SENDS: Mapping[str, Any] = {
    HOME + "/weight": weigh,
    HOME + "/ramp": begin,
    HOME + "/ramp/{word}": say,
}
