"""What a change of the routing has to keep to, beside the table itself.

Rule: what is known of it has a generation, which stands in the head's row and grows whenever less is
allowed than before. A change is committed only at the generation that it was checked at.
"""

from typing import Protocol

from proxy.routing.model import RoutingTable


class LimitsMovedError(Exception):
    """Less may be allowed than what the change was checked by: look again."""


class LimitError(Exception):
    """A change must not be made; says why. tenants: because of whom, the first of them."""

    def __init__(self, why: str, tenants: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.tenants = tenants


class Limits(Protocol):
    """What is allowed, as of a generation."""

    @property
    def generation(self) -> int:
        """Of which generation this is."""

    def check(self, before: RoutingTable, after: RoutingTable) -> None:
        """LimitError if the change must not be made."""


class Guard(Protocol):
    """Knows the limits."""

    async def limits(self, *, fresh: bool = False) -> Limits:
        """Those known, or those of now. DatabaseUnavailableError."""
