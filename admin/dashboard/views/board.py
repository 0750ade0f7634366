"""The deployment board, and the figures of its plots."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from aiohttp import web

from admin.api.guard import problem_of
from admin.api.messages import CensusPage, DrainReport
from admin.dashboard.model.board import Equipment, board, judged, plots, totals
from admin.dashboard.model.release import CURRENT, ONE, OVER
from admin.dashboard.visit import Visit
from proxy.routing.model import Slot

BOARD_S = 30
"""What the board's figures are of."""
PLOT_S = 300
"""How far back its plots go."""


async def look(visit: Visit) -> web.StreamResponse:
    """The board."""
    table = await visit.ops.api.parts.store.current()
    windows = await _known(visit, "windows", BOARD_S)
    signals = await _known(visit, "signals")
    shown = board(
        table.active,
        BOARD_S,
        totals(windows or ()),
        signals or {},
        await _equipment(visit, table.active),
        judged(await _verdict(visit)),
    )
    return await visit.page("board.html", board=shown, plotted=visit.sources.windows is not None)


async def figures(visit: Visit) -> web.StreamResponse:
    """The plots' lines as JSON."""
    found = plots(await _known(visit, "windows", PLOT_S) or ())
    document = {name: asdict(plot) for name, plot in found.items()}
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


async def _known(visit: Visit, name: str, *given: Any) -> Any:
    """What the source says; None if there is none, or it can't be asked now."""
    try:
        return await visit.sources.ask(name, *given)
    except Exception as error:
        if problem_of(error) is None:
            raise
        return None


async def _verdict(visit: Visit) -> Mapping[str, Any] | None:
    """The monitor's verdict on the release that runs; None without one."""
    if visit.sources.verdict is not None:
        told: Mapping[str, Any] | None = await _known(visit, "verdict")
        return told
    release = await visit.ops.found(ONE, {"release": CURRENT})
    document = {} if release is None else dict(msgspec.to_builtins(release))
    return None if document.get("state") in OVER else document.get("verdict")


async def _equipment(visit: Visit, active: Slot) -> Equipment | None:
    """Devices by slot, and how many of the last drain's are there; None: nobody tells."""
    try:
        census: CensusPage = await visit.ops.read("/v1/census", query={"limit": 1})
    except Exception as error:
        if problem_of(error) is None:
            raise
        return None
    if not census.taken:
        return None
    here, there = (census.slots[str(slot)].devices for slot in (active, active.other))
    names = {"slot": str(active.other)}
    drain: DrainReport | None = await visit.ops.found("/v1/slots/{slot}/drain", names)
    roll = None if drain is None else drain.census
    if roll is None:
        return Equipment(here, there)
    return Equipment(here, there, there=roll.back + roll.still, of=roll.before)


LOOKS = {"/ui/board": look, "/ui/board.json": figures}
