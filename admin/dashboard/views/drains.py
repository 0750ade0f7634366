"""Drains and the census: what is left on a slot, who is back, who is missing."""

from typing import Any

from aiohttp import web

from admin.api.messages import CensusPage, DrainReport, RollPage
from admin.api.problems import Problem
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.words import counted, duration
from admin.dashboard.visit import Visit
from admin.drains.model import State
from proxy.routing.model import Slot

HOME = "/ui/drains"
DEVICES = 50
_PATH = "/v1/slots/{slot}/drain"


async def look(visit: Visit) -> web.StreamResponse:
    """Both slots' drains, and the census."""
    asked, slots = visit.query, {}
    for slot in Slot:
        names = {"slot": str(slot)}
        drain: DrainReport | None = await visit.ops.found(_PATH, names)
        roll: RollPage | None = None
        if drain is not None and drain.census is not None:
            query = {"standing": "missing", "limit": DEVICES}
            roll = await visit.ops.read(_PATH + "/census", names, query)
        slots[str(slot)] = (drain, roll)
    wanted = {name: asked.get(name, "") for name in ("slot", "tenant", "cursor")}
    census: CensusPage = await visit.ops.read("/v1/census", query={**wanted, "limit": DEVICES})
    return await visit.page(
        "drains.html", slots=slots, census=census, asked=wanted, done=str(State.DONE)
    )


async def begin(visit: Visit, form: Form) -> web.StreamResponse:
    """Drain the slot."""
    slot, tenants = visit.named("slot"), form.words("tenants")
    given: dict[str, Any] = {"tenants": tenants or "all"}
    for name in ("per_second", "limit_s"):
        if form.number(name) is not None:
            given[name] = form.number(name)
    whose = f" of {counted(len(tenants), 'tenant')}" if tenants else ""
    deed = Deed(
        *("POST", _PATH),
        title=f"Drain {slot}{whose}",
        back=HOME,
        names={"slot": slot},
        given=given,
        word=slot,
        says=await _says(visit, slot, tenants, given) if form.text("typed") != slot else (),
    )
    return await carry_out(visit, form, deed)


async def _says(visit: Visit, slot: str, tenants: list[str], given: dict[str, Any]) -> list[str]:
    """What the drain will end, in numbers."""
    census: CensusPage = await visit.ops.read("/v1/census", query={"limit": 1})
    here = census.slots.get(slot)
    pace = given.get("per_second", 100.0)
    if here is None or not census.taken:
        known = "How many connections are open there is not measured: no worker names devices."
    else:
        unnamed = sum(here.unnamed.values())
        known = (
            f"{counted(here.connections, 'connection')} of {counted(here.devices, 'device')} and"
            f" {counted(unnamed, 'other lasting connection')} are open on {slot} now."
        )
    whom = "those of the tenants named" if tenants else "those whose tenants go elsewhere by now"
    return [
        known,
        f"Of these {whom} are ended, {pace:g} a second; who stays on {slot} keeps its own.",
        f"What is left after {_limit(visit, given)} is ended at once.",
    ]


def _limit(visit: Visit, given: dict[str, Any]) -> str:
    return duration(given.get("limit_s", visit.ops.api.parts.settings.drain_limit_s))


async def stop(visit: Visit, form: Form) -> web.StreamResponse:
    """Stop the slot's drain."""
    slot = visit.named("slot")
    if slot not in tuple(Slot):
        raise Problem("not-found", 'the slots are "blue" and "green"')
    deed = Deed("DELETE", _PATH, f"Stop the drain of {slot}", HOME, {"slot": slot})
    return await carry_out(visit, form, deed)


LOOKS = {HOME: look}
SENDS = {HOME + "/{slot}/begin": begin, HOME + "/{slot}/stop": stop}
