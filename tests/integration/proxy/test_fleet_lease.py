"""A fleet that is cut off from Redis: who is to wait waits until there is a lease again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from proxy.routing.change import Pin
from proxy.routing.model import Slot
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, Routing, settings, slots, start_fleet
from tests.support.processes import Children
from tests.support.relay import Relay

WORKERS = 2
FOLLOW = {
    "lease_s": 1.0,
    "renew_s": 0.3,
    "without_lease": "park",
    "without_lease_tenants": {"other": "serve"},
}


@pytest.fixture
def relay(redis_url: str) -> Iterator[Relay]:
    """Between the fleet and Redis."""
    port = urlsplit(redis_url).port
    assert port is not None
    relay = Relay(port)
    yield relay
    relay.cut()
    relay.close()


@pytest.fixture
async def fleet(
    spawn: Children,
    tmp_path: Path,
    redis_url: str,
    relay: Relay,
    routing: Routing,
    endpoints: Endpoints,
) -> Fleet:
    """Serves, and is cut off until its leases are over. Who waits there waits for two seconds."""
    parts = urlsplit(redis_url)
    place = f"{parts.netloc.rpartition(':')[0]}:{relay.port}"
    through = urlunsplit(parts._replace(netloc=place))
    own = settings(tmp_path, through, workers=WORKERS, follow=FOLLOW, parking={"wait_s": 2.0})
    fleet = await start_fleet(spawn, own)
    await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
    await fleet.until(lambda w: all(x["leased"] for x in w), "all have leases")
    assert {w.status.without_lease for w in await routing.fleet()} == {"mixed"}
    assert (await fleet.get(tenant="acme")).slot == "blue"
    relay.cut()
    await fleet.until(lambda w: not any(x["leased"] for x in w), "all leases are over")
    return fleet


async def test_who_waits_goes_by_the_newest_table(
    fleet: Fleet, routing: Routing, relay: Relay
) -> None:
    waiting: list[asyncio.Task[Any]] = [
        asyncio.get_running_loop().create_task(fleet.get(tenant="acme")) for _ in range(8)
    ]
    assert (await fleet.get(tenant="other")).slot == "blue"
    await asyncio.wait(waiting, timeout=0.3)  # that nothing happens has no event
    assert not any(each.done() for each in waiting)
    assert await routing.fleet() == []
    # Nobody holds a lease, so this is served by all as soon as it is published.
    version = await routing.change(Pin("acme", Slot.GREEN))
    relay.mend()
    assert {(await each).slot for each in waiting} == {"green"}
    await routing.acked(version, WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "green"


async def test_who_waits_too_long_is_refused(
    fleet: Fleet, tmp_path: Path, routing: Routing, relay: Relay
) -> None:
    answer = await fleet.get(tenant="acme")
    assert (answer.status, answer.json["code"]) == (503, "parked-too-long")
    assert int(answer.fields["retry-after"]) >= 1
    relay.mend()
    await routing.acked(routing.table.version, WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "blue"
