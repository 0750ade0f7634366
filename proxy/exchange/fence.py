"""What is still under way of the tenants that switches hold: a switch waits until it is nothing.

Rules:
1. Counted is who was let into a slot, or stands in its line, when the table came that holds the
   tenant: whoever comes after that is parked. So a count only falls, until the hold ends.
2. The moment at which a switch has nothing left under way here is told at once.
"""

from collections.abc import Callable

from proxy.routing.model import RoutingTable
from proxy.upstream.admission import Admission


class Fence:
    """See the module. admissions: of both slots. tell: called when a count has come to nothing."""

    __slots__ = ("_admissions", "_busy", "_table", "tell")

    def __init__(self, admissions: tuple[Admission, ...]) -> None:
        self._admissions = admissions
        self._table = RoutingTable()
        self._busy: dict[str, set[bytes]] = {}
        self.tell: Callable[[], None] = _nobody

    def __repr__(self) -> str:
        return f"<Fence {self.left()}>"

    def swap(self, table: RoutingTable) -> None:
        """This is the table now."""
        self._table = table
        self._busy = {}
        is_holding = bool(table.hold_all or table.holds)
        for admission in self._admissions:
            admission.emptied = self._emptied if is_holding else None
            for tenant in admission.tenants if is_holding else ():
                switch = table.held_by(_name(tenant))
                if switch:
                    self._busy.setdefault(switch, set()).add(tenant)

    def left(self) -> dict[str, int]:
        """Switch → how many requests and connections are under way of those that it holds."""
        return {
            switch: sum(
                admission.tenants.get(tenant, 0)
                for tenant in tenants
                for admission in self._admissions
            )
            for switch, tenants in self._busy.items()
        }

    def _emptied(self, tenant: bytes) -> None:
        """A slot has nothing of this tenant any more."""
        busy = self._busy.get(self._table.held_by(_name(tenant)))
        if busy is None or any(tenant in admission.tenants for admission in self._admissions):
            return
        busy.discard(tenant)
        if not busy:
            self.tell()


def _name(tenant_line: bytes) -> str | None:
    """The tenant of the line that names it to the endpoint."""
    return tenant_line.partition(b": ")[2].decode("ascii") or None


def _nobody() -> None:
    """Nobody listens yet."""
