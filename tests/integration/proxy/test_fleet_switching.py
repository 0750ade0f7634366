"""A switch under load: after its acknowledgement nobody reaches the old slot, and nobody fails."""

from collections import Counter
from dataclasses import dataclass

from proxy.routing.change import Pin, Unpin
from proxy.routing.model import Slot
from tests.support.clients import Asked, Connection, Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import FleetOf, Routing

WORKERS = 4
SWITCHES = 200


async def slots_of(connections: list[Connection], tenant: str) -> Counter[str]:
    """Ask on all connections at once; how many answers each slot gave."""
    for connection in connections:
        connection.send("GET", "/", tenant=tenant)
    return Counter([(await connection.answer()).slot for connection in connections])


async def test_after_the_ack_every_kept_connection_goes_to_the_new_slot(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    connections = await fleet.connections(each=3)
    everyone = len(connections)
    try:
        assert await slots_of(connections, "acme") == {"blue": everyone}
        await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), WORKERS)
        assert await slots_of(connections, "acme") == {"green": everyone}
        assert await slots_of(connections, "other") == {"blue": everyone}
        await routing.acked(await routing.change(Unpin("acme")), WORKERS)
        assert await slots_of(connections, "acme") == {"blue": everyone}
    finally:
        for connection in connections:
            await connection.close()


@dataclass
class Switches:
    """Where a switching tenant goes. begun, acked: how many switches were. Even: blue."""

    begun: int = 0
    acked: int = 0

    def mark(self) -> tuple[int, int]:
        return self.begun, self.acked


async def test_hundreds_of_switches_under_load(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    switches = Switches()
    connections = await fleet.connections(each=3)
    async with Load(fleet.port, connections=connections, mark=switches.mark, pause_s=0) as load:
        wrong: list[tuple[int, Asked]] = []
        judged = 0
        for number in range(1, SWITCHES + 1):
            switches.begun = number
            version = await routing.change(Pin("acme", _slot(number)))
            await routing.acked(version, WORKERS)
            switches.acked = number
            # Until every client was answered once more, no next switch begins.
            await load.everyone()
            wrong += [(number, asked) for asked in load.asked[judged:] if not _right(asked, number)]
            judged = len(load.asked)
    assert not load.failures
    assert not wrong
    seen = await _seen(endpoints, load.prefix)
    assert seen == {asked.name: 1 for asked in load.asked}
    print(f"{SWITCHES} switches, {len(load.asked)} requests")


def _right(asked: Asked, now: int) -> bool:
    """Whether it went where it had to. now: the switch that was begun last when it was judged."""
    begun, acked = asked.begun
    if acked == begun == now:
        return asked.answer.slot == _slot(acked)
    return asked.answer.slot in {_slot(number) for number in range(acked, now + 1)}


def _slot(number: int) -> Slot:
    return Slot.GREEN if number % 2 else Slot.BLUE


async def _seen(endpoints: Endpoints, prefix: str) -> Counter[str]:
    return await endpoints.blue.seen(prefix) + await endpoints.green.seen(prefix)
