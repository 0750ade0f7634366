"""Who changes the routing: pins, canary, cutover and back, fenced switches, two at once.

Rules: each call has an author of its own, by which the system of record knows it, and a key: it is
repeated with that, at either admin, when nobody knows what became of it. What an answer says is
written down, not believed.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.history.record import FAIL, INFO, OK, Changed, Line
from tests.history.system import Admin, System

PAUSE_S = (0.02, 0.4)
ACK_MS = 3000
SWITCH_MS = 3500
ANSWER_S = 15.0
TRIES = 3
AGAIN_S = 0.5
SLOTS = ("blue", "green")
_UNKNOWN = frozenset({"outcome-unknown", "internal"})
"""Refusals that don't say that nothing was changed."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that changes something. wants: see `record.Changed`."""

    what: str
    method: str
    path: str
    body: dict[str, Any]
    wants: dict[str, Any]
    fenced: bool = False


class Operators:
    """All of them. step_url: what a fenced switch calls in its middle."""

    def __init__(
        self,
        system: System,
        tenants: Sequence[str],
        step_url: str,
        write: Callable[[Line], None],
    ) -> None:
        self._system, self._tenants, self._step_url = system, tenants, step_url
        self._write = write
        self._numbers = itertools.count()
        self.stopping = False

    async def run(self, rng: random.Random) -> None:
        """One operator, until told to stop."""
        kinds: list[tuple[float, Callable[[random.Random], Awaitable[object]]]] = [
            (5, self._pin),
            (1, self._unpin),
            (1, self._canary),
            (1, self._cutover),
            (3, self._fenced),
            (2, self._race),
        ]
        weights = [weight for weight, _ in kinds]
        while not self.stopping:
            ((_, kind),) = rng.choices(kinds, weights)
            await kind(rng)
            await asyncio.sleep(rng.uniform(*PAUSE_S))

    async def _pin(self, rng: random.Random) -> None:
        await self.make(self._admin(rng), self._pinning(rng))

    def _pinning(self, rng: random.Random) -> Call:
        tenant, slot = rng.choice(self._tenants), rng.choice(SLOTS)
        wants = {"pin": {tenant: slot}}
        return Call("pin", "PUT", f"/v1/tenants/{tenant}/pin", {"slot": slot}, wants)

    async def _unpin(self, rng: random.Random) -> None:
        tenant = rng.choice(self._tenants)
        operations = [{"op": "unpin", "tenant": tenant}]
        call = Call(
            "unpin",
            "POST",
            "/v1/routing/changes",
            {"operations": operations},
            {"pin": {tenant: None}},
        )
        await self.make(self._admin(rng), call)

    async def _canary(self, rng: random.Random) -> None:
        percent = rng.choice((0, 20, 50, 100))
        call = Call("canary", "PUT", "/v1/canary", {"percent": percent}, {"percent": percent})
        await self.make(self._admin(rng), call)

    async def _cutover(self, rng: random.Random) -> None:
        to = rng.choice(SLOTS)
        call = Call("cutover", "POST", "/v1/cutover", {"to": to}, {"active": to})
        await self.make(self._admin(rng), call)

    async def _fenced(self, rng: random.Random) -> None:
        to, tenants = rng.choice(SLOTS), rng.sample(self._tenants, rng.choice((1, 1, 2)))
        body = {"to": to, "tenants": tenants, "mode": "fenced", "timeout_ms": SWITCH_MS}
        if rng.random() < 0.8:
            body["step"] = {"webhook": self._step_url}
        wants = {"pin": dict.fromkeys(tenants, to)}
        call = Call("fenced cutover", "POST", "/v1/cutover", body, wants, fenced=True)
        await self.make(self._admin(rng), call)

    async def _race(self, rng: random.Random) -> None:
        """Both admins are asked for a change of the same version at once."""
        try:
            status, table = await self._system.call(
                self._admin(rng), "GET", "/v1/routing", limit_s=2.0
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return
        if status == 200:
            calls = [(admin, self._pinning(rng)) for admin in self._system.admins]
            version = table["version"]
            await asyncio.gather(*(self.make(*each, expected=version) for each in calls))

    def _admin(self, rng: random.Random) -> Admin:
        return rng.choice(self._system.admins)

    async def make(self, admin: Admin, call: Call, expected: int | None = None) -> Changed:
        """Make one call, and repeat it while its outcome is unknown; what came of it last."""
        author = f"op-{next(self._numbers)}"
        line = await self._try(admin, call, expected, author)
        for again in range(TRIES - 1):
            if line.outcome != INFO or self.stopping:
                break
            await asyncio.sleep(AGAIN_S * again)
            other = self._system.admins[(self._system.admins.index(admin) + again + 1) % 2]
            line = await self._try(other, call, expected, author)
        return line

    async def _try(self, admin: Admin, call: Call, expected: int | None, author: str) -> Changed:
        """One try, written down."""
        body = dict(call.body)
        if expected is not None:
            body["expected_version"] = expected
        body.setdefault("timeout_ms", ACK_MS)
        began = time.monotonic()
        try:
            status, told = await self._system.call(
                *(admin, call.method, call.path, body),
                author=author,
                key=author,
                limit_s=ANSWER_S,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            told, status = {"code": type(error).__name__}, 0
        line = Changed(
            op=author,
            admin=admin.name,
            what=call.what,
            began=began,
            ended=time.monotonic(),
            wants=call.wants,
            fenced=call.fenced,
            expected=expected,
            status=status,
            **_said(status, told if isinstance(told, dict) else {}),
        )
        self._write(line)
        return line


def _said(status: int, told: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, as a record has it."""
    code = str(told.get("code", ""))
    if not 200 <= status < 300:
        unsure = status == 0 or code in _UNKNOWN
        outcome, detail = INFO if unsure else FAIL, str(told.get("detail", ""))
        switch = str(told.get("switch", ""))
        return {"outcome": outcome, "code": code, "detail": detail, "switch": switch}
    return _made(told.get("switch") or {}, told)


def _made(switch: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What an answer says that is no refusal. switch: empty for an instant change."""
    change = told.get("change") if switch else told
    if change is None:
        # A switch that has not ended yet.
        return {"outcome": INFO, "switch": switch["switch"]}
    return {
        "outcome": OK,
        "converged": change["converged"],
        "version": change["version"],
        "acked": tuple(change["acked"]),
        "pending": tuple(change["pending"]),
        "switch": switch.get("switch", ""),
    }
