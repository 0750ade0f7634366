"""What a change would do, before it is made."""

import asyncio

from aiohttp import web
from msgspec import UNSET, UnsetType

from admin.api.canary import asked_of, chosen, weighed
from admin.api.canary_messages import MoveItem, WhatIfBody, WhatIfState
from admin.api.changing import check, one, tenants_of
from admin.api.messages import Chosen
from admin.api.problems import Problem
from admin.api.route import Call, Route, reply
from admin.api.traffic import share
from admin.canary.weights import By, drawn
from admin.canary.whatif import Move, WhatIf, portions
from admin.routing.limits import LimitError
from proxy.routing.change import Change, Operation, Pin, apply
from proxy.routing.codec import decode_operations
from proxy.routing.model import RoutingTable
from proxy.routing.traffic import Traffic
from proxy.routing.values import decode_slot, percent


async def ask(call: Call, given: WhatIfBody) -> web.StreamResponse:
    """Who would move, from where to where and why, and how much traffic that is."""
    before, traffic = await call.parts.store.current(), await call.parts.last_hour.read()
    change = Change(before.version + 1, _operations(given, before, traffic))
    after = apply(before, change)
    found = await _looked(call, before, after, traffic)
    end = given.cursor + given.limit
    state = WhatIfState(
        version=before.version,
        active=str(after.active),
        percent=percent(after.canary.basis_points),
        moves=[_item(move, traffic) for move in found.moves[given.cursor : end]],
        next=end if end < len(found.moves) else None,
        moving=len(found.moves),
        known=found.known,
        requests=found.total,
        moving_percent=share(found.moving, traffic),
        others_percent=share(found.others, traffic),
        moving_others_percent=share(found.moving_others, traffic),
        refusal=await _refusal(call, before, after, change),
        explanation=_sentence(found, traffic),
        chosen=_chosen(given, after, traffic),
    )
    return reply(state)


async def _looked(
    call: Call, before: RoutingTable, after: RoutingTable, traffic: Traffic
) -> WhatIf:
    """The what-if, in portions: ten thousand tenants take longer than others may be kept waiting.

    One at a time: however many ask, all else has every second turn.
    """
    async with call.parts.whatif:
        looking = portions(before, after, traffic, call.parts.settings.whatif_portion)
        while True:
            try:
                next(looking)
            except StopIteration as end:
                found: WhatIf = end.value
                return found
            await asyncio.sleep(0)


def _operations(given: WhatIfBody, table: RoutingTable, traffic: Traffic) -> tuple[Operation, ...]:
    """The operations of what is tried. Problem 400 unless it is one thing."""
    tried = [given.canary, given.cutover, given.operations]
    if sum(each is not None for each in tried) != 1:
        raise Problem("invalid-change", "body: one of canary, cutover and operations")
    if given.canary is not None:
        asked = asked_of(given.canary)
        by_traffic = By(given.canary.by) is By.TRAFFIC
        return (weighed(table, asked, traffic) if by_traffic else asked,)
    if given.cutover is not None:
        tenants, to = tenants_of(given.cutover.tenants), decode_slot(given.cutover.to)
        return (
            (one("cutover", to=str(to)),)
            if tenants is None
            else tuple(Pin(tenant, to) for tenant in tenants)
        )
    return decode_operations(given.operations)


def _chosen(given: WhatIfBody, after: RoutingTable, traffic: Traffic) -> Chosen | UnsetType:
    if given.canary is None or By(given.canary.by) is not By.TRAFFIC:
        return UNSET
    asked = asked_of(given.canary).basis_points
    return chosen(drawn(after.canary, after.pins, traffic, asked))


async def _refusal(
    call: Call, before: RoutingTable, after: RoutingTable, change: Change
) -> str | None:
    """Why the change would be refused."""
    try:
        check(after, change, call.parts.settings.endpoint_networks, force=False)
        await call.parts.guard.check(before, after)
    except Problem as problem:
        return f"{problem.code}: {problem.detail}"
    except LimitError as error:
        return f"schema-unserved: {error}"
    return None


def _item(move: Move, traffic: Traffic) -> MoveItem:
    return MoveItem(
        move.tenant,
        str(move.before.slot),
        str(move.before.reason),
        str(move.after.slot),
        str(move.after.reason),
        round(move.part, 4),
        move.requests,
        share(move.requests * move.part, traffic),
    )


def _sentence(found: WhatIf, traffic: Traffic) -> str:
    """The answer in words."""
    text = f"{len(found.moves)} of {found.known} known tenants would move"
    if not found.total:
        return f"{text}; there are no figures of traffic."
    text += f", with {share(found.moving, traffic):.4g} % of the last hour's traffic"
    if not found.others:
        return f"{text}."
    others, moving = share(found.others, traffic), share(found.moving_others, traffic)
    return (
        f"{text}; of {others:.4g} % it is not known whose it is, {moving:.4g} % may be expected"
        " to move too."
    )


ROUTES = (
    Route(
        "POST",
        "/v1/routing/whatif",
        ask,
        "What a change would do; nothing is changed",
        WhatIfState,
        WhatIfBody,
    ),
)
