"""A release's report, as a document and as a page."""

import asyncio
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
from admin.releases import kept_store, report, store, trail
from admin.releases.keep import REACH_S
from admin.releases.kept import Interval, gathered
from admin.releases.store import Record
from admin.routing.publish import StoreUnavailableError
from admin.tokens import now

MAX_EVENTS = 10_000
FRESH_S = 60
"""So much may not be kept yet of a release that runs, in seconds."""


async def read(call: Call, _: Given) -> web.StreamResponse:
    """All of it, as a document."""
    return reply(await _report(call, await found(call)))


async def page(call: Call, _: Given) -> web.StreamResponse:
    """All of it, as one page without scripts."""
    made = msgspec.to_builtins(await _report(call, await found(call)))
    text = await asyncio.to_thread(report.page_of, made)
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
        kept = await kept_store.intervals(connection, name)
        verdicts = await kept_store.verdicts(connection, name)
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
    kept += await _fresh(call, record, kept)
    moments = report.traffic(kept)
    units = {name: each.unit for name, each in call.parts.signals.settings.items()}
    return ReleaseReport(
        release=await state_of(call, record),
        events=events,
        switches=report.switches(effects),
        hooks=report.hooks(effects),
        roles=report.roles(events),
        people=report.people(events),
        traffic={slot: msgspec.to_builtins(of_slot) for slot, of_slot in moments.items()},
        signals=report.signals(kept, units),
        verdicts=verdicts,
    )


async def _fresh(call: Call, record: Record, kept: list[Interval]) -> list[Interval]:
    """What is not kept yet: of the last seconds, or, where nothing is kept, as far as windows reach."""
    ago_s = now() - record.row["begun_at"].timestamp() + call.parts.releasing.traffic_before_s
    if record.row["ended_at"] and kept:
        return []
    reach = FRESH_S if kept else min(REACH_S, int(ago_s))
    try:
        windows = await call.parts.windows.latest(max(1, reach))
    except StoreUnavailableError:
        return []
    over = kept[-1].begins if kept else 0
    return [each for each in gathered(windows) if each.begins > over]


ROUTES = (
    Route("GET", "/v1/releases/{release}/report", read, "A release's report", ReleaseReport),
    Route(
        *("GET", "/v1/releases/{release}/report.html", page, "A release's report as a page", None),
        media="text/html",
    ),
)
