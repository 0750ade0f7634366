"""What a way back changes in the routing table."""

import pytest

from admin.releases.effects import back
from admin.releases.model import Release
from admin.releases.plan import Plan
from proxy.routing.change import Cutover, EndAffinities, Operation, SetCanary, Unpin
from proxy.routing.model import Canary, RoutingTable, Slot

RELEASE = Release(
    "r", "1.3.0", "1.2.0", Plan(pilots=("acme",)), Slot.BLUE, Canary(), Canary(basis_points=500)
)
NO_CANARY = (Canary().unit, Canary().salt, Canary().allow, Canary().deny)


@pytest.mark.parametrize(
    ("table", "operations"),
    [
        (RoutingTable(version=9), ()),
        (
            RoutingTable(version=9, active=Slot.GREEN, pins={"acme": Slot.GREEN}),
            (Cutover(Slot.BLUE), Unpin("acme"), EndAffinities(Slot.GREEN)),
        ),
        (
            RoutingTable(version=9, canary=Canary(basis_points=500)),
            (SetCanary(0, *NO_CANARY), EndAffinities(Slot.GREEN)),
        ),
        (RoutingTable(version=9, pins={"acme": Slot.BLUE, "other": Slot.GREEN}), ()),
    ],
    ids=["all are there", "after the cutover", "from the canary", "who else is pinned"],
)
def test_everybody_comes_back_who_is_bound_to_the_slot_that_is_left_too(
    table: RoutingTable, operations: tuple[Operation, ...]
) -> None:
    assert back(RELEASE, table) == operations
