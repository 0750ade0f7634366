"""Jobs and payments of the example ERP through a cutover: each stays on the slot where it began."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import System

PRINTS = 12
PRINT_S = 3.0
PAYMENT = {"amount_cents": 1250, "currency": "EUR"}
_PREFIX = 16
_TRIES = 1_000


class Erp:
    """A client of the ERP behind the proxy; each request on a connection of its own."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def ask(
        self, method: str, path: str, *, body: Any = None, tenant: str = "acme", **fields: str
    ) -> tuple[Any, str, str]:
        """The document, the slot, and what all answers of one worker have in common."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self._session.request(
            method, self._url + path, json=body, headers={"X-Tenant-ID": tenant, **headers}
        ) as answer:
            document = await answer.json()
            assert answer.status in {200, 201, 202}, document
            worker = answer.headers["X-Request-ID"][:_PREFIX]
            return document, answer.headers["X-Turnout-Slot"], worker

    async def made(self, path: str, **body: Any) -> Any:
        return (await self.ask("POST", path, body=body))[0]


@pytest.fixture
async def erp(system: System) -> AsyncIterator[Erp]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Erp(session, system.about["proxy"])


@pytest.mark.timeout(120)
async def test_jobs_begun_on_blue_finish_on_blue(system: System, erp: Erp) -> None:
    job = await erp.made("/api/jobs", title="Flyers")
    begun = []
    for _ in range(PRINTS):
        body = {"pages": 10, "seconds": PRINT_S}
        document, slot, _ = await erp.ask("POST", f"/api/jobs/{job['id']}/print", body=body)
        assert slot == "blue"
        begun.append(document["id"])
    polled: list[tuple[str, str]] = []

    async def poll(number: str) -> Any:
        while True:
            path = f"/api/prints/{number}"
            document, slot, worker = await erp.ask("GET", path)
            polled.append((slot, worker))
            if document["state"] != "running":
                return document
            await erp.ask("GET", f"{path}/wait?timeout_ms=200")

    polls = [asyncio.get_running_loop().create_task(poll(number)) for number in begun]
    await system.change("POST", "/v1/cutover", {"to": "green"})
    assert (await erp.ask("GET", "/api/jobs"))[1] == "green"
    after = len(polled)
    ended = await asyncio.gather(*polls)
    assert {(each["state"], each["slot"]) for each in ended} == {("done", "blue")}
    assert {slot for slot, _ in polled} == {"blue"}
    assert len(polled) - after >= PRINTS
    workers = {worker for _, worker in polled}
    assert len(workers) > 1
    print(f"{PRINTS} prints, {len(polled)} polls through {len(workers)} workers, all on blue")
    path = f"/api/jobs/{job['id']}/print"
    document, slot, _ = await erp.ask("POST", path, body={"pages": 1, "seconds": 0.1})
    assert slot == "green"
    assert (await erp.ask("GET", f"/api/prints/{document['id']}"))[1] == "green"


@pytest.mark.timeout(120)
async def test_a_payment_that_is_tried_again_reaches_the_slot_of_its_first_try(
    system: System, erp: Erp
) -> None:
    order = await erp.made("/api/orders", total_cents=1250, currency="EUR")
    path = f"/api/orders/{order['id']}/payments"

    async def pay(key: str) -> tuple[Any, str, str]:
        return await erp.ask("POST", path, body=PAYMENT, Idempotency_Key=key)

    first, slot, worker = await pay("pay-1")
    assert slot == "blue"
    await system.change("POST", "/v1/cutover", {"to": "green"})
    others: set[str] = set()
    for _ in range(_TRIES):
        again, slot, through = await pay("pay-1")
        assert (again["id"], slot) == (first["id"], "blue")
        others.add(through)
        if len(others) == 4:
            break
    assert len(others - {worker}) == 3
    assert (await pay("pay-2"))[1] == "green"

    fleet = await system.get("/v1/workers")
    pids = {each["pid"] for each in fleet["workers"] if each["lease_ms"] > 0}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        await system.converged(workers=4, without=pid)
    again, slot, through = await pay("pay-1")
    assert (again["id"], slot) == (first["id"], "blue")
    assert through not in others


@pytest.mark.timeout(120)
async def test_a_session_stays_until_affinities_end(system: System, erp: Erp) -> None:
    async def slot(user: str) -> str:
        return (await erp.ask("GET", "/api/jobs", Cookie=f"erp_session={user}"))[1]

    assert await slot("anna") == "blue"
    await system.change("POST", "/v1/cutover", {"to": "green"})
    assert await slot("anna") == "blue"
    assert await slot("bert") == "green"
    operations = [{"op": "end-affinities", "slot": "blue"}]
    await system.change("POST", "/v1/routing/changes", {"operations": operations})
    assert await slot("anna") == "green"


@pytest.mark.timeout(120)
async def test_a_fenced_switch_leaves_nothing_of_its_tenants_behind(
    system: System, erp: Erp
) -> None:
    """Its old slot's database may be another one: a session there must not write to it."""

    async def slot(tenant: str) -> str:
        return (await erp.ask("GET", "/api/jobs", tenant=tenant, Cookie="erp_session=anna"))[1]

    assert {await slot("acme"), await slot("bravo")} == {"blue"}

    async def fenced(to: str, **of: Any) -> None:
        body = {"to": to, "mode": "fenced", **of}
        async with system.session.post(f"{system.about['admin']}/v1/cutover", json=body) as answer:
            assert answer.status == 200, await answer.text()

    await fenced("green", tenants=["acme"])
    assert (await slot("acme"), await slot("bravo")) == ("green", "blue")
    assert (await system.table()).tenant_affinities_since.keys() == {"acme"}
    await system.change("POST", "/v1/cutover", {"to": "green"})
    assert (await slot("acme"), await slot("bravo")) == ("green", "blue")
    await fenced("blue")
    await fenced("green")
    assert (await slot("acme"), await slot("bravo")) == ("green", "green")
    assert not (await system.table()).tenant_affinities_since
