"""How many requests each tenant had, minute by minute, as it lies in Redis.

A hash for each minute: a tenant's id → its requests, and `OTHERS` → those of tenants that aren't
named. Rules: a figure is counted at most once, so it is never too high; what is not known of a
tenant is among the others. So a tenant had at least what is named, and at most that and the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.routing.model import is_tenant

MINUTES: Final = 60
"""What "the last hour" is: this minute and the 59 before it."""
OTHERS: Final = "*"
"""No tenant's id."""
_MAX_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of some time. requests: by tenant. others: of tenants that aren't named.

    minutes: in how many of them there were any. Requests that name no tenant aren't in it.
    """

    requests: Mapping[str, int]
    others: int = 0
    minutes: int = 0

    @property
    def total(self) -> int:
        """All requests that named a tenant."""
        return sum(self.requests.values()) + self.others


def decode(fields: Mapping[bytes, bytes]) -> Traffic:
    """One minute, from its hash. What can't be a figure is passed over."""
    requests: dict[str, int] = {}
    others = 0
    for name, count in fields.items():
        tenant, number = name.decode("ascii", "replace"), _number(count)
        if tenant == OTHERS:
            others = number
        elif number and is_tenant(tenant):
            requests[tenant] = number
    return Traffic(requests, others, int(bool(fields)))


def add_up(parts: Iterable[Traffic]) -> Traffic:
    """All of it together."""
    total: dict[str, int] = {}
    others = minutes = 0
    for part in parts:
        others += part.others
        minutes += part.minutes
        for tenant, number in part.requests.items():
            total[tenant] = total.get(tenant, 0) + number
    return Traffic(total, others, minutes)


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0
