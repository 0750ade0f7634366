"""Releases on real parts: all the way under load, and back by themselves from each sabotage.

An admin in this process, a proxy with two workers, v1.2.0 of the example ERP on blue and v1.3.0 on
green. The times are printed, not asserted: when somebody who knows what the fault is could have been
sure of it (`tests.support.measurable`), when the monitor was, and when green got its last request.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from admin.bootstrap import running
from admin.monitor.settings import Settings as Monitoring
from admin.monitor.settings import SignalSettings
from admin.releases.config import Settings as Releasing
from config import Shared
from tests.integration.admin.conftest import Client, published
from tests.support import measurable
from tests.support.fleet import Fleet, settings, start_fleet
from tests.support.planes import ADMIN
from tests.support.print_erp import ROOT, Erp, starter
from tests.support.processes import Child, Children

TENANTS = [f"tenant-{number}" for number in range(40)]
RATE = 240.0
PRINTERS = 12
PLAN: dict[str, Any] = {
    "steps": [50, 100],
    "dwell_s": 3,
    "window_s": 600,
    "checklist": [],
    "gates": ["health"],
    "cutover_gates": ["health"],
    "signers": [],
    "cutover_signers": [],
    "drain_per_s": 1000,
    "unmeasured": "go",
}
ALPHA = Monitoring().alpha
TOLERATED = Monitoring().error_rate_tolerated_points / 100
CONNECTIONS = SignalSettings("database-connections", 1000.0, 1000.0, leak=True)
CENSUS = [{"name": "printer", "path": "/ws/equipment/{key}"}]


@dataclass
class Seen:
    """One request. at: when it began; took: until its last byte, seconds."""

    at: float
    took: float
    tenant: str
    slot: str
    status: int


@dataclass
class Plant:
    """All of it. seen: every answer of the load."""

    call: Client
    fleet: Fleet
    blue: Erp
    green: Erp
    session: aiohttp.ClientSession
    load: Child
    seen: list[Seen] = field(default_factory=list)
    _read_to: int = 0

    async def release(self, version: str = "1.3.0", **plan: Any) -> str:
        document = {"version": version, "plan": {**PLAN, **plan}}
        status, answer, _ = await self.call("POST", "/v1/releases", document)
        assert status == 202, answer
        return str(answer["name"])

    async def until(self, name: str, *states: str, step: int = 0) -> dict[str, Any]:
        while True:
            status, release, _ = await self.call("GET", f"/v1/releases/{name}")
            assert status == 200, release
            if release["state"] in states and release["step"] >= step:
                return dict(release)
            assert not release["ended_at"], release
            await asyncio.sleep(0.05)

    async def served_by_green(self, count: int = 1) -> None:
        """Wait until green has answered so many more requests."""
        before = sum(seen.slot == "green" for seen in self.seen)
        while sum(seen.slot == "green" for seen in self.seen) < before + count:
            await asyncio.sleep(0.02)

    def by_green(self, tenant: str = "") -> list[measurable.Answer]:
        """What green has answered, to all or to this tenant."""
        return [
            measurable.Answer(seen.at + seen.took, seen.took, seen.status >= 500)
            for seen in self.seen
            if seen.slot == "green" and tenant in {"", seen.tenant}
        ]

    async def read(self) -> None:
        """Take in what the load tells, until cancelled."""
        while True:
            self._take()
            await asyncio.sleep(0.02)

    def _take(self) -> None:
        with self.load.log.open("rb") as log:
            log.seek(self._read_to)
            told = log.read()
        whole = told[: told.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.decode().splitlines():
            began, ended, tenant, slot, status = line.split()
            took = float(ended) - float(began)
            self.seen.append(Seen(float(began), took, tenant, slot, int(status)))


PATIENT: dict[str, Any] = dict.fromkeys(
    ("slower_least_ms", "response_warning_ms", "response_critical_ms"), 60_000.0
)
"""Where slowness is not what is asked: a machine that other tests keep busy is slow, too."""


async def loading(spawn: Children, fleet: Fleet) -> Child:
    """The load, each tenant in turn, once it is answered."""
    command = (sys.executable, "-m", "tests.support.steady_load")
    load = spawn(*command, str(fleet.port), str(RATE), *TENANTS, cwd=ROOT, name="load")
    await load.line(" blue 200$")
    return load


@pytest.fixture
async def plant(
    request: pytest.FixtureRequest,
    spawn: Children,
    tmp_path: Path,
    redis_url: str,
    database_url: str,
) -> AsyncIterator[Plant]:
    shared = Shared(redis_url, "release", database_url, "a routing key of tests, long enough")
    judged = getattr(request, "param", PATIENT)
    monitoring = Monitoring(signals=(CONNECTIONS,), equipment_return_s=3.0, **judged)
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(starter(spawn, database_url, tmp_path))
        blue = await start("blue", "1.2.0", "--faults")
        green = await start("green", "1.3.0", "--faults")
        releasing = Releasing(gates_s=1.0)
        address = await stack.enter_async_context(
            running(shared, ADMIN, None, releasing, monitoring)
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        call = Client(session, address)
        await published(call)
        own = settings(tmp_path, redis_url, workers=2, node="test", census=CENSUS)
        fleet = await start_fleet(spawn, replace(own, shared=msgspec.structs.asdict(shared)))
        await fleet.serving()
        for slot, erp, version in (("blue", blue, "1.2.0"), ("green", green, "1.3.0")):
            endpoints = {"endpoints": [erp.ready["address"]]}
            assert (await call("PUT", f"/v1/slots/{slot}/endpoints", endpoints))[0] == 200
            if slot == "blue":
                await call("PUT", "/v1/slots/blue/version", {"version": version})
        load = await loading(spawn, fleet)
        clients = await stack.enter_async_context(aiohttp.ClientSession())
        plant = Plant(call, fleet, blue, green, clients, load)
        task = asyncio.create_task(plant.read())
        yield plant
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def faulty(erp: Erp, **faults: Any) -> float:
    """Put them in force; when."""
    status, document, _ = await erp.ask("POST", "/_faults", tenant=None, json=faults)
    assert status == 200, document
    return time.monotonic()


@dataclass(frozen=True)
class Sabotaged:
    """since: when it was done, monotonic seconds. known: when it could have been known, or None."""

    since: float
    known: Callable[[], float | None]


async def brought_back(plant: Plant, name: str, fault: Sabotaged, *triggers: str) -> None:
    """The release goes back by itself, for one of these reasons; how long it took is printed."""
    release = await plant.until(name, "rolled-back")
    page = (await plant.call("GET", f"/v1/releases/{name}/events?limit=1000"))[1]
    (row,) = [each for each in page["events"] if each["kind"] == "fault"]
    verdict = row["body"]["verdict"]["triggers"]
    raised = {each["name"] for each in verdict if each["level"] == "critical"}
    assert raised & set(triggers), (raised, release["fault"])
    began = time.time() - (time.monotonic() - fault.since)
    sure = datetime.fromisoformat(row["at"]).timestamp() - began
    last = max((seen.at for seen in plant.seen if seen.slot == "green"), default=0.0) - fault.since
    known = fault.known()
    could = "could not be known by one test" if known is None else f"{known - fault.since:.1f} s"
    later = "" if known is None else f", {last - (known - fault.since):.1f} s after that"
    on_green = [seen for seen in plant.seen if seen.slot == "green" and seen.at > fault.since]
    print(f"{len(on_green) / last:.0f} requests a second on green; ", end="")
    print(f"{triggers[0]}: measurable after {could}, sure after {sure:.1f} s, ", end="")
    print(f"last request on green after {last:.1f} s{later}: {release['fault']}")
    _tell_where_it_went(page["events"], row, began, last)
    table = (await plant.call("GET", "/v1/routing"))[1]
    assert (table["active"], table["canary"]["percent"]) == ("blue", 0)
    # What began before may still be under way on green.
    now = time.monotonic()
    while len(after := [seen for seen in plant.seen if seen.at > now]) < 20:
        await asyncio.sleep(0.02)
    assert {seen.slot for seen in after} == {"blue"}


def _tell_where_it_went(
    rows: list[dict[str, Any]], fault: dict[str, Any], began: float, last: float
) -> None:
    """Print what each part of the way took. All clocks are this host's; began: POSIX seconds."""

    def after(row: dict[str, Any]) -> float:
        return datetime.fromisoformat(row["at"]).timestamp() - began

    verdict = fault["body"]["verdict"]
    wrong = [each for each in verdict["triggers"] if each["level"] == "critical"]
    rises = min(each["since"] for each in wrong) - began
    judged, written = verdict["second"] + 1 - began, after(fault)
    on_the_way = [each for each in rows if each["seq"] > fault["seq"]]
    acks = [each["body"]["ack_ms"] for each in on_the_way if "ack_ms" in each["body"]]
    back = ", ".join(f"{each['kind']} {after(each) - written:.2f}" for each in on_the_way)
    print(f"  evidence rises from {rises:.1f} s to {judged:.1f} s after the fault", end="")
    print(f"; told, looked at and written down {written - judged:.2f} s after that", end="")
    print(f"; then {back} s (acks {acks} ms); green's last {last - written:+.2f} s")


@pytest.mark.timeout(300)
async def test_a_release_under_load_and_the_next_one_the_other_way(
    plant: Plant, spawn: Children, database_url: str, tmp_path: Path
) -> None:
    signed: dict[str, Any] = {"signers": ["qa"], "cutover_signers": ["stakeholder"], "window_s": 4}
    first = await plant.release(**signed, unmeasured="wait", drain_per_s=100)
    await plant.until(first, "validating")
    for signer in ("qa", "stakeholder"):
        await plant.call("POST", f"/v1/releases/{first}/sign", {"signer": signer})
    release = await plant.until(first, "done")
    assert [gate["outcome"] for gate in release["gates"]] == [*["passed"] * 2, *["signed"] * 2]
    async with starter(spawn, database_url, tmp_path) as start:
        newer = await start("blue", "1.4.0", "--faults")
        await plant.call("PUT", "/v1/slots/blue/endpoints", {"endpoints": [newer.ready["address"]]})
        second = await plant.release("1.4.0", window_s=3)
        release = await plant.until(second, "done")
        assert (release["active"], release["standby"]) == ("green", "blue")
        assert {seen.status for seen in plant.seen} == {200}
        assert (await plant.call("GET", "/v1/audit/verify"))[1]["holds"]
        print(f"{len(plant.seen)} requests, none failed, through two releases")


Sabotage = Callable[[Plant], Awaitable[Sabotaged]]


async def _errors(plant: Plant) -> Sabotaged:
    since = await faulty(plant.green, error_rate=0.05)
    return Sabotaged(since, lambda: _failing(plant, since))


async def _one_tenant(plant: Plant) -> Sabotaged:
    of = next(seen.tenant for seen in reversed(plant.seen) if seen.slot == "green")
    since = await faulty(plant.green, error_rate=1.0, tenant=of)
    return Sabotaged(since, lambda: _failing(plant, since, of))


def _failing(plant: Plant, since: float, tenant: str = "") -> float | None:
    """When it was sure that green fails, or fails this one of all tenants."""
    answers = [each for each in plant.by_green(tenant) if each.at > since]
    if not tenant:
        return measurable.by_failures(answers, TOLERATED, ALPHA)
    least = Monitoring().tenant_failures
    return measurable.by_failures(answers, TOLERATED, ALPHA / len(TENANTS), least)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("triggers", "sabotage", "step"),
    [
        # Each twentieth of requests that go round forty tenants is always that of the same two; and of
        # few tenants on green, one that fails is a tenth of all requests.
        (("error-rate", "tenant-errors"), _errors, 1),
        (("tenant-errors", "error-rate"), _one_tenant, 1),
        (("error-rate", "tenant-errors"), _errors, 2),
    ],
    ids=["five percent errors", "one tenant only", "only above 25 percent"],
)
async def test_it_goes_back_by_itself(
    plant: Plant, triggers: tuple[str, ...], sabotage: Sabotage, step: int
) -> None:
    # Above 25 % only: nothing is wrong at the first step.
    plan: dict[str, Any] = {"steps": [25, 100], "dwell_s": 5} if step > 1 else {"dwell_s": 600}
    name = await plant.release(**plan)
    await plant.until(name, "canary", step=step)
    await plant.served_by_green(50)
    await brought_back(plant, name, await sabotage(plant), *triggers)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plant", [{}], indirect=True, ids=["as in production"])
async def test_it_goes_back_when_it_is_slower(plant: Plant) -> None:
    for erp in (plant.blue, plant.green):
        await faulty(erp, delay_ms=100)
    name = await plant.release(dwell_s=600)
    await plant.until(name, "canary")
    await plant.served_by_green(100)
    # The active slot's: green's first requests are not what is usual.
    usual = [seen for seen in plant.seen if seen.slot == "blue"][-300:]
    before = [measurable.Answer(seen.at + seen.took, seen.took) for seen in usual]
    usual_ms = fmean(seen.took for seen in usual) * 1000
    # What a client sees is to be 60 % slower, not only what the fault adds to.
    since = await faulty(plant.green, delay_ms=round(100 + 0.6 * usual_ms))

    def known() -> float | None:
        answers = [each for each in plant.by_green() if each.at - each.took > since]
        times = 1 + Monitoring().slower_tolerated_percent / 100
        return measurable.by_means(answers, before, times, ALPHA)

    await brought_back(plant, name, Sabotaged(since, known), "response-time")


@pytest.mark.timeout(300)
async def test_it_goes_back_when_connections_leak(plant: Plant, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    readings: list[tuple[float, float]] = []

    async def tell() -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        while True:
            value = await connection.fetchval(query)
            readings.append((time.monotonic(), value))
            await plant.call("PUT", "/v1/signals/database-connections", {"value": value})
            await asyncio.sleep(0.5)

    telling = asyncio.create_task(tell())
    try:
        name = await plant.release(steps=[], gates=[], cutover_gates=[])
        await plant.until(name, "stabilising")
        await plant.served_by_green(500)
        # Four a second, whatever the machine serves: of sixty in all.
        lately = [seen for seen in plant.seen if seen.at > time.monotonic() - 5.0]
        since = await faulty(plant.green, leak_every=max(1, round(len(lately) / 5.0 / 4.0)))

        def known() -> float | None:
            later = [reading for reading in readings if reading[0] >= since]
            return measurable.by_growth(later, 1 + Monitoring().leak_growth_percent / 100)

        await brought_back(plant, name, Sabotaged(since, known), "signal:database-connections")
    finally:
        telling.cancel()
        await connection.close()


@pytest.mark.timeout(300)
async def test_it_goes_back_when_equipment_is_lost(plant: Plant) -> None:
    async def printer(number: int) -> None:
        url = f"http://127.0.0.1:{plant.fleet.port}/ws/equipment/printer-{number}"
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                headers = {"X-Tenant-ID": TENANTS[number]}
                async with plant.session.ws_connect(url, headers=headers) as socket:
                    async for _ in socket:
                        pass
            await asyncio.sleep(0.5)

    printers = [asyncio.create_task(printer(number)) for number in range(PRINTERS)]
    try:
        while len((await plant.call("GET", "/v1/census"))[1]["items"]) < PRINTERS:
            await asyncio.sleep(0.1)
        name = await plant.release(steps=[])
        await plant.until(name, "stabilising")
        await plant.served_by_green(500)
        since = await faulty(plant.green, equipment=False)
        # Who is gone is seen at once.
        await brought_back(plant, name, Sabotaged(since, lambda: since), "equipment")
    finally:
        for task in printers:
            task.cancel()
