"""A release's report, as a document and as a page."""

import json
from base64 import b64encode
from hashlib import sha256
from re import DOTALL, search
from typing import Any

import msgspec
from aiohttp import web

from admin.api.messages import Given
from admin.api.release_messages import ReleaseReport
from admin.api.releases import found, state_of
from admin.api.route import Call, Route, reply
from admin.releases import report, store, trail
from admin.releases.store import Record
from admin.routing.publish import StoreUnavailableError
from admin.tokens import now
from proxy.routing.windows import Window

MAX_EVENTS = 10_000
REACH_S = 3600
"""How long windows are kept, at most: what is older has no plot."""
AROUND_S = 60
"""So much of before and after is shown too, in seconds."""


async def read(call: Call, _: Given) -> web.StreamResponse:
    """All of it, as a document."""
    return reply(await _report(call, await found(call)))


async def page(call: Call, _: Given) -> web.StreamResponse:
    """All of it, as one page without scripts."""
    made = await _report(call, await found(call))
    text = report.page_of(msgspec.to_builtins(made))
    style = search(r"<style>(.*?)</style>", text, DOTALL)
    assert style is not None  # noqa: S101 - the template has one
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'"
    )
    return web.Response(
        text=text, content_type="text/html", headers={"Content-Security-Policy": policy}
    )


async def _report(call: Call, record: Record) -> ReleaseReport:
    name = record.release.name
    async with call.parts.store.database.connection() as connection:
        rows = await trail.page(connection, name, 0, MAX_EVENTS)
        effects = [
            {
                "name": row["name"],
                "kind": row["kind"],
                "begun_at": row["begun_at"].isoformat(),
                "ended_at": row["ended_at"] and row["ended_at"].isoformat(),
                "outcome": row["outcome"],
                "tries": row["tries"],
                "detail": json.loads(row["detail"]),
            }
            for row in (await store.effects(connection, name)).values()
        ]
    events: list[dict[str, Any]] = [
        {
            "seq": row.seq,
            "at": row.at.isoformat(),
            "kind": row.kind,
            "actor": row.actor,
            "body": row.body,
        }
        for row in rows
    ]
    moments = report.traffic(await _windows(call, record))
    return ReleaseReport(
        release=await state_of(call, record),
        events=events,
        switches=report.switches(effects),
        hooks=report.hooks(effects),
        roles=report.roles(events),
        people=report.people(events),
        traffic={slot: msgspec.to_builtins(of_slot) for slot, of_slot in moments.items()},
    )


async def _windows(call: Call, record: Record) -> list[Window]:
    """Those of its time, as far as they are kept."""
    began, ended = record.row["begun_at"].timestamp(), record.row["ended_at"]
    until = ended.timestamp() + AROUND_S if ended else float("inf")
    reach = min(REACH_S, int(now() - began) + AROUND_S)
    try:
        windows = await call.parts.windows.latest(max(1, reach))
    except StoreUnavailableError:
        return []
    return [each for each in windows if began - AROUND_S <= each.second <= until]


ROUTES = (
    Route("GET", "/v1/releases/{release}/report", read, "A release's report", ReleaseReport),
    Route(
        *("GET", "/v1/releases/{release}/report.html", page, "A release's report as a page", None),
        media="text/html",
    ),
)
