"""Which weight draws a share of the traffic. Pure.

A canary draws by buckets, each tenant whole, so a share of the traffic can't be met exactly: the
weight is the one whose tenants come closest from below, by the last hour's figures. In the table
it is a weight as any other: the same tenants in the same order, more of them with more of it.

Rules:
1. What is asked is never exceeded by the tenants that the figures name. Those that they don't name
   (`Traffic.others`) are many and small: a weight draws its own share of them.
2. Of the weights that draw the same the lowest is taken: who has made no request is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from proxy.routing.canary import bucket
from proxy.routing.model import BASIS_POINTS, Canary, Slot, Unit
from proxy.routing.traffic import Traffic


class By(StrEnum):
    """What a canary's percentage is of."""

    COUNT = "count"  # of all keys that there could be
    TRAFFIC = "traffic"  # of the last hour's requests


class NoTrafficError(Exception):
    """There is nothing to choose by."""


@dataclass(frozen=True, slots=True)
class Next:
    """Who would be drawn next. requests: of the last hour."""

    tenant: str
    bucket: int
    requests: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A weight, and what it draws.

    asked, basis_points: the share of traffic that was asked for, and the weight; both of 10 000.
    tenants: how many it draws of those that had requests; None: it draws no whole tenants. requests:
    what they had, with its share of the others'. total: what all had. others: what is not named.
    following: whom the next higher share would draw too; None: nobody.
    """

    asked: int
    basis_points: int
    tenants: int | None
    requests: float
    total: int
    others: int
    following: Next | None

    @property
    def share(self) -> float:
        """What is drawn, as a part of all: 0 to 1."""
        return self.requests / self.total if self.total else 0.0


def drawable(canary: Canary, pins: Mapping[str, Slot], traffic: Traffic) -> dict[str, int]:
    """The requests of the tenants that are the canary's to draw."""
    return {
        tenant: count
        for tenant, count in traffic.requests.items()
        if tenant not in pins and canary.may_draw(tenant)
    }


def choose(canary: Canary, pins: Mapping[str, Slot], traffic: Traffic, asked: int) -> Choice:
    """The weight for a share of the traffic. asked: basis points.

    canary: its unit, salt and lists count. NoTrafficError.
    """
    if not traffic.total:
        raise NoTrafficError("there are no figures of traffic to choose by")
    wanted = _weight(canary, pins, traffic, asked) if asked < BASIS_POINTS else BASIS_POINTS
    return drawn(replace(canary, basis_points=wanted), pins, traffic, asked)


def drawn(canary: Canary, pins: Mapping[str, Slot], traffic: Traffic, asked: int) -> Choice:
    """What the canary draws as it is. asked: what was asked of it, basis points."""
    weight, named = canary.basis_points, drawable(canary, pins, traffic)
    requests = weight * _others(canary, traffic) / BASIS_POINTS
    tenants = following = None
    if canary.unit is Unit.TENANT:
        inside = {t: n for t, n in named.items() if bucket(canary.salt, t) < weight}
        tenants, requests = len(inside), requests + sum(inside.values())
        following = _following(canary, named.keys() - inside.keys(), named)
    else:
        requests += weight * sum(named.values()) / BASIS_POINTS
    others = traffic.others
    return Choice(asked, weight, tenants, requests, traffic.total, others, following)


def _weight(canary: Canary, pins: Mapping[str, Slot], traffic: Traffic, asked: int) -> int:
    """In whole numbers: requests times 10 000, so that nothing is rounded."""
    limit = asked * traffic.total
    named, others = drawable(canary, pins, traffic), _others(canary, traffic)
    if canary.unit is not Unit.TENANT:
        all_of_it = sum(named.values()) + others
        return min(BASIS_POINTS, limit // all_of_it) if all_of_it else 0
    by_bucket = [0] * BASIS_POINTS
    for tenant, count in named.items():
        by_bucket[bucket(canary.salt, tenant)] += count
    best = best_drawn = inside = 0
    for weight, count in enumerate(by_bucket, 1):
        inside += count
        would_draw = inside * BASIS_POINTS + weight * others
        if would_draw > limit:
            break
        if would_draw > best_drawn:
            best, best_drawn = weight, would_draw
    return best


def _others(canary: Canary, traffic: Traffic) -> int:
    """Requests that are not named, as far as the canary may draw them."""
    return 0 if canary.allow else traffic.others


def _following(canary: Canary, outside: set[str], named: Mapping[str, int]) -> Next | None:
    if not outside:
        return None
    place, tenant = min((bucket(canary.salt, tenant), tenant) for tenant in outside)
    return Next(tenant, place, named[tenant])
