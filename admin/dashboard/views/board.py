"""The deployment board: its page, the figures of its plots, and what its feed pushes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import msgspec
import structlog
from aiohttp import web

from admin.api.events import Listener, stream
from admin.api.guard import problem_of
from admin.api.messages import CensusPage, DrainReport
from admin.api.problems import REQUEST_ID, Problem
from admin.api.release_messages import SignalsState
from admin.dashboard.model.board import Board, Equipment, Limits, board
from admin.dashboard.model.figures import Plot, Second, plots, totals
from admin.dashboard.model.release import CURRENT, ONE, ReleaseShown, release_shown
from admin.dashboard.model.row import Threshold
from admin.dashboard.model.signals import SignalKnown
from admin.dashboard.model.verdict import judged
from admin.dashboard.visit import Visit
from admin.login.local import BOARD_FEED as FEED
from admin.releases.course import WATCHED
from admin.routing.events import KINDS
from admin.routing.publish import StoreUnavailableError
from admin.tokens import now
from proxy.routing.model import Slot

log = structlog.get_logger(__name__)
BOARD_S = 30
"""What the board's figures are of."""
PLOT_S = 300
"""How far back its plots go."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the board shows now. release: the one that runs, or the last one."""

    board: Board
    release: ReleaseShown | None
    seconds: list[Second]


async def look(visit: Visit) -> web.StreamResponse:
    """The board."""
    found = await standing(visit)
    return await visit.page(
        "board.html",
        board=found.board,
        release=found.release,
        plotted=visit.sources.windows is not None,
        plot_s=PLOT_S,
        at=now(),
    )


async def figures(visit: Visit) -> web.StreamResponse:
    """The plots' lines as JSON."""
    document = lines(plots(await _windows(visit, PLOT_S)))
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


async def standing(visit: Visit) -> Standing:
    """The board as of now. DatabaseUnavailableError; Problem."""
    table = await visit.ops.api.parts.store.current()
    windows = await _windows(visit, BOARD_S)
    release = await _release(visit)
    shown = board(
        table.active,
        BOARD_S,
        totals(windows),
        await _signals(visit),
        await _equipment(visit, table.active),
        judged(release.get("verdict") if release and release["state"] in WATCHED else None),
        limits_of(visit),
    )
    return Standing(shown, None if release is None else release_shown(release), windows)


def lines(found: Mapping[str, Plot]) -> dict[str, Any]:
    """Plots as JSON has them."""
    return {name: asdict(plot) for name, plot in found.items()}


def limits_of(visit: Visit) -> Limits:
    """The monitor's thresholds."""
    told = visit.ops.api.parts.monitoring
    return Limits(
        Threshold(told.error_rate_warning_percent, told.error_rate_critical_percent, "%"),
        Threshold(told.response_warning_ms, told.response_critical_ms, "ms"),
        Threshold(told.equipment_warning, told.equipment_critical),
        told.minimum_sample,
    )


async def _windows(visit: Visit, seconds: int) -> list[Second]:
    """The last so many seconds; none if they can't be asked for now."""
    if visit.sources.windows is None:
        return []
    try:
        return list(await visit.sources.windows(seconds))
    except StoreUnavailableError:
        return []


async def _release(visit: Visit) -> dict[str, Any] | None:
    """The release that runs, or else the last; None before the first."""
    release = await visit.ops.found(ONE, {"release": CURRENT})
    return None if release is None else dict(msgspec.to_builtins(release))


async def _signals(visit: Visit) -> dict[str, SignalKnown]:
    """Those that the settings name, with their last readings."""
    settings = {each.name: each for each in visit.ops.api.parts.monitoring.signals}
    told: SignalsState | None = await visit.ops.found("/v1/signals")
    latest = {} if told is None else {each.name: each for each in told.signals}
    at, found = now(), {}
    for name, of in settings.items():
        reading = latest.get(name)
        value = None if reading is None else reading.value
        known_at = at if reading is None or reading.at is None else reading.at
        threshold = Threshold(of.warning, of.critical, of.unit, of.is_bad == "below")
        age_s = max(0.0, at - known_at)
        found[name] = SignalKnown(of.unit, threshold, value, age_s, of.stale_s, bool(of.query))
    return found


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


async def feed(visit: Visit) -> web.StreamResponse:
    """The live feed, and between its events the board's figures, again and again."""
    parts = visit.ops.api.parts
    holds = parts.logins.watch(
        visit.request, visit.session.principal, parts.settings.events_heartbeat_s
    )

    async def tell(listener: Listener) -> None:
        while await holds():
            await listener.write("figures", await _pushed(visit))
            if not await _pass_on(listener, parts.settings.board_look_s):
                return

    return await stream(visit.request, parts.hub, frozenset(KINDS), parts.settings, tell)


async def _pass_on(listener: Listener, for_s: float) -> bool:
    """Hand events on for so many seconds; False once the feed has ended."""
    end = monotonic() + for_s
    while (left_s := end - monotonic()) > 0:
        try:
            event = await listener.next(left_s)
        except TimeoutError:
            break
        if event is None:
            return False
        await listener.write(*event)
    return True


async def _pushed(visit: Visit) -> dict[str, Any]:
    """The board as it is put into the page, and the last seconds of its plots; or why there is none."""
    try:
        found = await standing(visit)
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            log.exception("a board's feed failed", request_id=visit.request[REQUEST_ID])
            problem = Problem("internal", "it is in the log under this request's id")
        return {"fault": problem.title}
    context = {"board": found.board, "release": found.release, "at": now()}
    html = visit.pages.part("board_now.html", context)
    return {"html": html, "plots": lines(plots(found.seconds))}


LOOKS = {"/ui/board": look, "/ui/board.json": figures, FEED: feed}
