"""What a load scenario is: requests for wrk, answers for the endpoint. Data only."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.routing.model import Slot

TENANT_HEADER = "X-Tenant-ID"
TENANTS = 1_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load.

    request: Lua for wrk that defines `request`, and `init` if it needs one. location: the
    endpoint's nginx directives for one slot's answers. per: what the CPU time is divided by, in
    words.
    """

    name: str
    title: str
    per: str
    request: str
    location: Callable[[Slot], str]


def pins() -> dict[str, Slot]:
    """The tenants, every other one on green."""
    slots = (Slot.BLUE, Slot.GREEN)
    return {tenant(index): slots[index % 2] for index in range(TENANTS)}


def tenant(index: int) -> str:
    """The id of the index-th tenant; wrk's scripts make the same names."""
    return f"tenant-{index:04d}"
