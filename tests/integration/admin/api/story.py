"""Calls every operation so that it does what it is for: each is met with a 2xx.

What it leaves behind is what the fuzzing begins from: tenants, a canary, switches that ended, a
drain, plans of migrations, releases that ended and one that is paused, people who are logged in.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from tests.integration.admin.api.stage import NAMES, PEOPLE, SIGNAL, STEP, Stage
from tests.support.documented import faults

Report = dict[str, Any]
BLUE, GREEN = "/v1/slots/blue", "/v1/slots/green"
PLANS: Final = "/v1/migrations/plans"
WAITS: Final = {
    "steps": [5, 50],
    "dwell_s": 600,
    "window_s": 600,
    "signers": ["qa", "ops"],
    "checklist": [],
    "gates": [],
    "cutover_gates": [],
    "drain_per_s": 0,
    "unmeasured": "go",
}
"""It asks for two signatures, and waits at each step for somebody's word."""


class Story:
    """One telling. Each part leaves the routing as the next one takes it up."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.call = stage, stage.call

    async def tell(self) -> None:
        """All of it."""
        await self.prepare()
        await self.tenants()
        await self.canary()
        await self.switches()
        await self.drain()
        await self.migrations()
        await self.releases()
        await self.reading()
        await self.sessions()
        await self.listening()

    async def does(self, method: str, path: str, body: Any = None, **more: Any) -> Report:
        """Call it; it is met with a 2xx."""
        status, document, _ = await self.call(method, path, body, **more)
        assert 200 <= status < 300, (method, path, status, document)
        return document if isinstance(document, dict) else {"text": document}

    async def until(self, path: str, holds: Callable[[Report], bool]) -> Report:
        """What lies there, once it is so."""
        while True:
            document = await self.does("GET", path)
            if holds(document):
                return document
            await asyncio.sleep(0.02)

    async def prepare(self) -> None:
        """Slots with endpoints and versions."""
        for path, version in ((BLUE, "1.2.0"), (GREEN, "1.3.0")):
            await self.does("PUT", f"{path}/endpoints", {"endpoints": ["127.0.0.1:1"]})
            await self.does("PUT", f"{path}/version", {"version": version})
        for name in NAMES:
            await self.does("PUT", f"/v1/tenants/{name}", {})
        await self.does("PUT", f"/v1/signals/{SIGNAL}", {"value": 12.5})

    async def tenants(self) -> None:
        """Pinned, unpinned, moved many at once, forgotten."""
        await self.does("PUT", "/v1/tenants/bodoni/pin", {"slot": "green"})
        await self.does("PUT", "/v1/tenants/didot/pin", {"slot": "green"})
        await self.does("DELETE", "/v1/tenants/didot/pin")
        await self.does("PUT", "/v1/tenants/zapf", {})
        await self.does("DELETE", "/v1/tenants/zapf?timeout_ms=1000")
        operations = [
            {"op": "pin", "tenant": "garamond", "slot": "green"},
            {"op": "register", "tenant": "garamond"},
        ]
        headers = {"Idempotency-Key": "once"}
        for _ in range(2):
            body = {"operations": operations}
            made = await self.does("POST", "/v1/routing/changes", body, headers=headers)
        await self.does("GET", f"/v1/routing/changes/{made['version']}?timeout_ms=1000")
        await self.does("GET", "/v1/tenants/acme/route?weight=50&active=green&pin=none")
        for tenant in ("bodoni", "garamond"):  # no release is deployed to where they are
            await self.does("DELETE", f"/v1/tenants/{tenant}/pin")

    async def canary(self) -> None:
        """Set by count and by traffic; a ramp that is turned around, and one that is stopped."""
        await self.does("PUT", "/v1/canary", {"percent": 20, "by": "traffic", "deny": ["caslon"]})
        await self.does("PUT", "/v1/canary", {"percent": 0, "unit": "tenant", "deny": []})
        whatif = {"canary": {"percent": 50, "by": "traffic"}}
        await self.does("POST", "/v1/routing/whatif", whatif)
        await self.does("POST", "/v1/routing/whatif", {"cutover": {"to": "green"}})
        ramp = "/v1/canary/ramp"
        await self.does("POST", ramp, {"steps": [5, 50], "dwell_s": [600]})
        await self.until(ramp, lambda report: report["state"] == "dwelling")
        for word in ("pause", "resume", "reverse"):
            await self.does("POST", f"{ramp}/{word}")
        await self.until(ramp, lambda report: report["ended_at"] is not None)
        await self.does("POST", ramp, {"steps": [1], "dwell_s": [600]})
        await self.does("POST", f"{ramp}/stop")
        await self.until(ramp, lambda report: report["ended_at"] is not None)
        await self.does("PUT", "/v1/canary", {"percent": 0})

    async def switches(self) -> None:
        """There and back at once, and fenced; and one that is undone while it holds."""
        await self.does("POST", "/v1/cutover", {"to": "green"})
        await self.does("POST", "/v1/rollback", {})
        fenced = {"mode": "fenced", "tenants": ["acme"]}
        await self.does("POST", "/v1/cutover", {"to": "green", "step": {"command": STEP}, **fenced})
        await self.does("POST", "/v1/rollback", fenced)
        self.stage.worker.busy = 1
        held = asyncio.ensure_future(
            self.call("POST", "/v1/cutover", {"to": "green", "timeout_ms": 60_000, **fenced})
        )
        table = await self.until("/v1/routing", lambda document: "acme" in document["holds"])
        await self.does("POST", f"/v1/switches/{table['holds']['acme']}/cancel", {})
        assert (await held)[:2][0] == 409
        self.stage.worker.busy = 0
        await self.until("/v1/routing", lambda document: not document["holds"])
        await self.does("GET", f"/v1/switches/{table['holds']['acme']}")

    async def drain(self) -> None:
        """Begun, with a roll of who was there; stopped."""
        await self.does("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
        await self.until("/v1/census", lambda document: bool(document["by_tenant"]))
        body = {"tenants": ["acme"], "per_second": 0.01, "limit_s": 86_400}
        await self.does("POST", f"{BLUE}/drain", body)
        await self.until(f"{BLUE}/drain", lambda report: report["census"] is not None)
        await self.does("GET", f"{BLUE}/drain/census?limit=1")
        await self.does("DELETE", f"{BLUE}/drain")
        await self.until(f"{BLUE}/drain", lambda report: report["ended_at"] is not None)

    async def migrations(self) -> None:
        """Tried; planned, run to its end; one that fails and is tried again; one given up."""
        await self.does("POST", PLANS, {"dry_run": True})
        good = await self.does("POST", PLANS, {"to": "1.3.0"})
        for word in ("run", "pause", "resume"):
            await self.does("POST", f"{PLANS}/{good['name']}/{word}")
        await self.until(f"{PLANS}/{good['name']}", lambda plan: plan["state"] == "done")
        bad = await self.does("POST", PLANS, {"phases": ["backfill"], "run": True})
        path = f"{PLANS}/{bad['name']}"
        await self.until(path, lambda plan: bool(plan["failed"]))
        await self.until(
            path, lambda plan: not any(w["jobs"].get("running") for w in plan["waves"])
        )
        await self.does("POST", f"{path}/retry")
        await self.does("POST", f"{path}/cancel")
        for word in ("retire", "bring-back"):
            await self.does("POST", f"/v1/migrations/targets/garamond/{word}", {"note": "moved"})
        headers = {"Idempotency-Key": "plan"}
        for _ in range(2):
            await self.does("POST", PLANS, {"to": "1.3.0"}, headers=headers)

    async def releases(self) -> None:
        """All the way with every word; one that is given up; a drill; and one that waits."""
        await self.does("DELETE", "/v1/tenants/acme/pin")
        await self._through("1.4.0", "finalise", "pause", "resume")
        await self._through("1.4.1", "finalize")
        back = f"/v1/releases/{await self._begun('1.5.0')}"
        await self._signed(back)
        await self.until(back, lambda report: report["step"] == 1)
        await self.does("POST", f"{back}/rollback", {"note": "no"})
        await self._ended(back)
        drill = await self.does("POST", "/v1/drills", {"window_s": 0})
        await self._ended(f"/v1/releases/{drill['name']}")
        given_up = f"/v1/releases/{await self._begun('1.6.0')}"
        await self.does("POST", f"{given_up}/abort", {})
        await self._ended(given_up)
        last = f"/v1/releases/{await self._begun('1.7.0')}"
        await self.does("POST", f"{last}/pause", {})

    async def _through(self, version: str, last: str, *words: str) -> None:
        """All the way, with these words while it waits."""
        path = f"/v1/releases/{await self._begun(version)}"
        for word in words:
            await self.does("POST", f"{path}/{word}", {"note": f"to {word}"})
        await self._signed(path)
        for step in (1, 2):
            await self.until(path, lambda report, step=step: report["step"] == step)  # type: ignore[misc]
            await self.does("POST", f"{path}/promote", {})
        await self.until(path, lambda report: report["state"] == "stabilising")
        await self.does("POST", f"{path}/{last}", {})
        await self._ended(path)

    async def _begun(self, version: str) -> str:
        body = {"version": version, "plan": WAITS, "note": "of the story"}
        release = await self.does("POST", "/v1/releases", body)
        path = f"/v1/releases/{release['name']}"
        await self.until(path, lambda report: report["state"] == "validating")
        return str(release["name"])

    async def _signed(self, path: str) -> None:
        for signer in ("qa", "ops"):
            await self.does("POST", f"{path}/sign", {"signer": signer, "note": "seen"})

    async def _ended(self, path: str) -> None:
        await self.until(path, lambda report: report["ended_at"] is not None)

    async def reading(self) -> None:
        """All that only reads, with its queries."""
        for path in (
            *("/v1/routing", "/v1/canary", "/v1/workers", "/v1/traffic?limit=1", "/v1/signals"),
            *("/v1/traffic/windows?seconds=900", "/v1/tenants?limit=1&slot=blue&prefix=a"),
            *("/v1/switches?limit=1", "/v1/census?limit=1&slot=blue&tenant=acme&kind=websocket"),
            *(f"{BLUE}/endpoints", f"{BLUE}/version", "/v1/migrations/compatibility?limit=1"),
            *(f"{PLANS}?limit=1", "/v1/migrations/history?limit=1", "/v1/migrations/targets"),
            *("/v1/releases?limit=1", "/v1/releases/current", "/v1/releases/current/events"),
            *("/v1/releases/current/report", "/v1/releases/current/report.html"),
            *("/v1/audit?limit=2", "/v1/audit/verify", "/healthz", "/readyz", "/metrics"),
        ):
            await self.does("GET", path)
        await self.does("DELETE", f"{GREEN}/version")

    async def sessions(self) -> None:
        """One ended by its name, those of a person by hers."""
        await self.does("GET", "/v1/sessions?limit=1")
        await self.does("DELETE", f"/v1/sessions/{self.stage.sessions[0]}")
        await self.does("DELETE", f"/v1/sessions?subject={PEOPLE[1]}")

    async def listening(self) -> None:
        """The feed begins; it has no end to wait for."""
        async with listening(self.stage, "/v1/events?types=change,release") as response:
            self.call.seen.add("GET", "/v1/events", response.status)
            assert not faults("GET", "/v1/events", response.status, response.headers, "")
            assert await response.content.readline() == b": listening\n"


@asynccontextmanager
async def listening(stage: Stage, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of what is not read to its end."""
    headers = {"Authorization": f"Bearer {stage.call.token}"}
    async with stage.call.session.get(f"{stage.url}{path}", headers=headers) as response:
        yield response
