"""Switches by hand: cut over and roll back, at once or fenced; and what became of fenced ones."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from admin.api.messages import SwitchesPage
from admin.api.problems import Problem
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.release import CURRENT, ONE, OVER
from admin.dashboard.model.switches import MODES, fence_says, switch_shown
from admin.dashboard.model.words import counted
from admin.dashboard.visit import Visit
from proxy.routing.model import Slot, is_tenant

HOME = "/ui/switches"
PAGE = 20
_ONE = "/v1/switches/{switch}"


async def look(visit: Visit) -> web.StreamResponse:
    """What can be switched by hand, and what was."""
    asked = visit.query.get("before", "")
    found: SwitchesPage = await visit.ops.read(
        "/v1/switches", query={"before": asked, "limit": PAGE}
    )
    table = await visit.ops.api.parts.store.current()
    release = await visit.ops.found(ONE, {"release": CURRENT})
    runs = release is not None and release.state not in OVER
    return await visit.page(
        "switches.html",
        switches=[switch_shown(each) for each in found.switches],
        active=str(table.active),
        standby=str(table.active.other),
        fallback=str(table.fallback) if table.fallback is not table.active else "",
        running=release.name if runs else "",
        limit_ms=visit.ops.api.parts.settings.switch_timeout_ms,
        begins=not asked,
        more=f"{HOME}?before={found.next}" if found.next else "",
    )


async def cut_over(visit: Visit, form: Form) -> web.StreamResponse:
    """Everybody, or the tenants named, to a slot."""
    to = form.text("to")
    if to not in tuple(Slot):
        raise Problem("invalid-change", 'to: the slots are "blue" and "green"')
    return await _move(visit, form, "/v1/cutover", to, {"to": to})


async def roll_back(visit: Visit, form: Form) -> web.StreamResponse:
    """Everybody, or the tenants named, to the slot before."""
    table = await visit.ops.api.parts.store.current()
    return await _move(visit, form, "/v1/rollback", str(table.fallback), {})


async def _move(
    visit: Visit, form: Form, path: str, to: str, more: Mapping[str, Any]
) -> web.StreamResponse:
    tenants = form.words("tenants")
    if not all(is_tenant(each) for each in tenants):
        raise Problem("invalid-tenant", "one of these is no tenant")
    whom = "everybody" if not tenants else tenants[0]
    if len(tenants) > 1:
        whom = counted(len(tenants), "tenant")
    given, fenced = fence(form), form.text("mode") == "fenced"
    body = {**more, **given, "tenants": tenants or "all"}
    verb = "Cut over" if path == "/v1/cutover" else "Roll back"
    deed = Deed(
        *("POST", path),
        title=f"{verb} {whom} to {to}{', fenced' if fenced else ''}",
        back=HOME,
        given=body,
        word=tenants[0] if len(tenants) == 1 else to,
        tried={"cutover": {"to": to, "tenants": tenants or "all"}},
        says=says(visit, form),
        versioned=True,
        fenced=fenced,
    )
    return await carry_out(visit, form, deed)


def fence(form: Form) -> dict[str, Any]:
    """What a form says of how a move is made, as the API takes it. Problem 400."""
    mode = form.text("mode") or "instant"
    if mode not in MODES:
        raise Problem("invalid-change", f"mode: one of {', '.join(MODES)}")
    limit_ms = form.whole("limit_ms") if mode == "fenced" else None
    return {"mode": mode} | ({} if limit_ms is None else {"timeout_ms": limit_ms})


def says(visit: Visit, form: Form) -> list[str]:
    """What a fence means for those who move; nothing of a move that is made at once."""
    if form.text("mode") != "fenced":
        return []
    return fence_says(form.whole("limit_ms") or visit.ops.api.parts.settings.switch_timeout_ms)


async def cancel(visit: Visit, form: Form) -> web.StreamResponse:
    """Undo a fenced switch that is under way."""
    name = visit.named("switch")
    deed = Deed("POST", _ONE + "/cancel", f"Undo the switch {name}", HOME, {"switch": name})
    return await carry_out(visit, form, deed)


LOOKS = {HOME: look}
SENDS = {
    HOME + "/cutover": cut_over,
    HOME + "/rollback": roll_back,
    HOME + "/{switch}/cancel": cancel,
}
