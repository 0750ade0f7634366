"""Tenants: found, explained, pinned, moved by selection."""

from urllib.parse import urlencode

from aiohttp import web

from admin.api.compatibility import state_of
from admin.api.messages import Explanation, TenantsPage
from admin.api.problems import Problem
from admin.dashboard.deeds import Deed, carry_out
from admin.dashboard.forms import Form
from admin.dashboard.model.words import counted
from admin.dashboard.views.switches import fence, says
from admin.dashboard.visit import Visit
from proxy.routing.codec import MAX_OPERATIONS
from proxy.routing.model import is_tenant

PAGE = 50
"""Tenants of one page."""
HOME = "/ui/tenants"
_CHANGES = ("POST", "/v1/routing/changes")


async def look(visit: Visit) -> web.StreamResponse:
    """A page of tenants by name."""
    asked = visit.query
    prefix, slot, cursor = asked.get("prefix", ""), asked.get("slot", ""), asked.get("cursor", "")
    given = {"prefix": prefix, "slot": slot, "cursor": cursor, "limit": PAGE}
    page: TenantsPage = await visit.ops.read("/v1/tenants", query=given)
    limits = await visit.ops.api.parts.guard.limits()
    schemas = {item.tenant: state_of(limits.schemas, item.tenant) for item in page.items}
    kept = {"prefix": prefix, "slot": slot}
    return await visit.page(
        "tenants.html",
        tenants=page.items,
        schemas=schemas,
        asked=kept,
        begins=not cursor,
        first=f"{HOME}?{urlencode(kept)}",
        more=f"{HOME}?{urlencode({**kept, 'cursor': page.next})}" if page.next else "",
    )


async def explain(visit: Visit) -> web.StreamResponse:
    """One tenant: where it goes, why, and what a change would do."""
    tenant, asked = visit.named("tenant"), visit.query
    names = {"tenant": tenant}
    tried = {name: asked.get(name, "") for name in ("weight", "active", "pin")}
    found: Explanation = await visit.ops.read("/v1/tenants/{tenant}/route", names, tried)
    return await visit.page("tenant.html", tenant=found, tried=tried)


async def pin(visit: Visit, form: Form) -> web.StreamResponse:
    """Pin the tenant to a slot, or unpin it."""
    tenant, slot = _named(visit), form.text("slot")
    unpins = slot == "none"
    operation = {"op": "unpin", "tenant": tenant} if unpins else _pin(tenant, slot)
    if form.text("mode") == "fenced":
        return await _fenced(visit, form, [operation], tenant, f"{HOME}/{tenant}")
    deed = Deed(
        *("DELETE" if unpins else "PUT", "/v1/tenants/{tenant}/pin"),
        title=f"Unpin {tenant}" if unpins else f"Pin {tenant} to {slot}",
        back=f"{HOME}/{tenant}",
        names={"tenant": tenant},
        given={} if unpins else {"slot": slot},
        word=tenant,
        tried={"operations": [operation]},
        versioned=True,
    )
    return await carry_out(visit, form, deed)


async def move(visit: Visit, form: Form) -> web.StreamResponse:
    """Pin those that are ticked to a slot, or unpin them, as one change."""
    tenants, slot = form.every("tenant"), form.text("slot")
    if not tenants:
        raise Problem("invalid-change", "tick the tenants that are to move")
    if len(tenants) > MAX_OPERATIONS or not all(is_tenant(each) for each in tenants):
        raise Problem("invalid-tenant", "one of these is no tenant")
    unpins = slot == "none"
    operations = [
        {"op": "unpin", "tenant": tenant} if unpins else _pin(tenant, slot) for tenant in tenants
    ]
    if form.text("mode") == "fenced":
        word = tenants[0] if len(tenants) == 1 else "unpin" if unpins else slot
        return await _fenced(visit, form, operations, word, HOME)
    whom = tenants[0] if len(tenants) == 1 else counted(len(tenants), "tenant")
    deed = Deed(
        *_CHANGES,
        title=f"Unpin {whom}" if unpins else f"Move {whom} to {slot}",
        back=HOME,
        given={"operations": operations},
        word=tenants[0] if len(tenants) == 1 else "unpin" if unpins else slot,
        tried={"operations": operations},
        versioned=True,
    )
    return await carry_out(visit, form, deed)


async def _fenced(
    visit: Visit, form: Form, operations: list[dict[str, str]], word: str, back: str
) -> web.StreamResponse:
    """The same as a fenced switch: requests of those who move wait until nothing is under way."""
    slot = form.text("slot")
    whom = operations[0]["tenant"] if len(operations) == 1 else counted(len(operations), "tenant")
    deed = Deed(
        *_CHANGES,
        title=f"{f'Unpin {whom}' if slot == 'none' else f'Move {whom} to {slot}'}, fenced",
        back=back,
        given={"operations": operations, **fence(form)},
        word=word,
        tried={"operations": operations},
        says=says(visit, form),
        versioned=True,
        fenced=True,
    )
    return await carry_out(visit, form, deed)


def _named(visit: Visit) -> str:
    tenant = visit.named("tenant")
    if not is_tenant(tenant):
        raise Problem("invalid-tenant", "this is no tenant's name")
    return tenant


def _pin(tenant: str, slot: str) -> dict[str, str]:
    return {"op": "pin", "tenant": tenant, "slot": slot}


LOOKS = {HOME: look, HOME + "/{tenant}": explain}
SENDS = {HOME + "/move": move, HOME + "/{tenant}/pin": pin}
