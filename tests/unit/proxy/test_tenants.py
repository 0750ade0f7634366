"""The busiest tenants: the summary against an exact count, and what other processes read of it."""

import random
from collections import Counter
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.head import RequestHead
from proxy.management import Cells
from proxy.observability import telemetry
from proxy.observability.telemetry import AREA_BYTES, Block, Telemetry
from proxy.observability.tenants import (
    CAPACITY_PER_TENANT,
    HALF_LIFE_S,
    Summary,
    Tenants,
    busiest,
    read,
)
from proxy.router import Route, Router
from proxy.routing.decision import Policy
from proxy.routing.identity import IdentityRules
from proxy.routing.model import RoutingTable, Slot
from tests.support.messages import ask
from tests.support.wire import Wire

TENANTS = 10_000


def skewed(source: random.Random, requests: int) -> list[str]:
    """Tenants by a power law, as they are."""
    weights = [1 / (rank + 1) for rank in range(TENANTS)]
    names = [f"tenant-{number}" for number in range(TENANTS)]
    return source.choices(names, weights, k=requests)


def check(summary: Summary, exact: Counter[str]) -> None:
    """The promises of Space-Saving."""
    total = exact.total()
    assert len(summary.entries) <= summary.capacity
    assert sum(entry.weight for entry in summary.entries.values()) == total
    assert summary.floor <= total / summary.capacity
    for tenant, entry in summary.entries.items():
        assert entry.weight - entry.error <= exact[tenant] <= entry.weight
        assert entry.requests == entry.weight - entry.error
        assert entry.error <= summary.floor
    for tenant, count in exact.items():
        assert count <= summary.floor or tenant in summary.entries


def test_the_summary_against_an_exact_count(seeded_random: random.Random) -> None:
    summary, exact = Summary(200), Counter[str]()
    stream = skewed(seeded_random, 60_000)
    for start in range(0, len(stream), 1_000):  # as sweeps do: several at once of each tenant
        part = Counter(stream[start : start + 1_000])
        for tenant, requests in part.items():
            summary.add(tenant, requests)
        exact += part
    check(summary, exact)
    ranked = sorted(summary.entries.values(), key=lambda entry: -entry.weight)
    assert [entry.tenant for entry in ranked[:5]] == [name for name, _ in exact.most_common(5)]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 9)), max_size=60),
    st.integers(1, 5),
)
def test_the_summary_keeps_its_promises(stream: list[tuple[str, int]], capacity: int) -> None:
    summary, exact = Summary(capacity), Counter[str]()
    for tenant, requests in stream:
        summary.add(tenant, requests)
        exact[tenant] += requests
        check(summary, exact)


def test_halving_keeps_the_order_and_lets_newcomers_in() -> None:
    summary = Summary(2)
    summary.add("old", 1000)
    summary.add("older", 500)
    for _ in range(8):
        summary.halve()
    summary.add("new", 50)
    assert set(summary.entries) == {"old", "new"}
    assert summary.entries["old"].requests == 1000  # what is exposed isn't halved
    assert summary.entries["new"].error == 500 >> 8


# ── counting ──────────────────────────────────────────────────────────────────────────────────


def block() -> Block:
    return Telemetry(1).blocks[0]


def count(own: Block, tenant: str, requests: int = 1, status: int = 200) -> None:
    """Count as an exchange does, by way of a wire's exchange's own steps."""
    one = telemetry.TenantCount(tenant, 0, own.tenants)
    one.requests, one.micros, one.failures = requests, 1000 * requests, status // 500 * requests
    own.tenants.append(one)


def shown(own: Block, *, lives: bool = True) -> dict[str, tuple[int, int, int]]:
    return {
        entry.tenant: (entry.requests, entry.failures, entry.micros)
        for entry in busiest([(own, lives)])[0]
    }


def test_a_wire_counts_requests_failures_and_time() -> None:
    with Wire(trusted=True) as wire:
        tenants = Tenants(wire.block, 20)
        for status in (b"200 OK", b"404 No", b"500 Oh"):
            wire.client.sends(ask(b"X-Tenant-ID: acme"))
            wire.endpoint(0).answers(b"", status)
        wire.client.sends(ask())
        wire.endpoint(0).answers()
        wire.client.sends(ask(b"X-Tenant-ID: Not One!"))
        wire.client.sends(ask(b"X-Tenant-ID: left"))
        wire.client.vanishes()
        tenants.sweep(1.0)
        found = shown(wire.block)
        assert found.keys() == {"acme"}
        assert found["acme"][:2] == (3, 1)
        assert found["acme"][2] > 0


def test_a_change_of_the_table_loses_no_count() -> None:
    own = block()
    router = Router(IdentityRules(), Policy(), "X-Tenant-ID", tenants=own.tenants)
    tenants = Tenants(own, 20)
    head = RequestHead()
    head.tenant = b"acme"
    for version in range(1, 4):
        router.swap(RoutingTable(version=version, pins=MappingProxyType({"acme": Slot.BLUE})))
        route = router.route(head, b"id")
        assert isinstance(route, Route)
        assert route.count is not None
        route.count.requests += 1
        route.count.touched.append(route.count)
    tenants.sweep(1.0)
    assert shown(own) == {"acme": (3, 0, 0)}


def test_switched_off_nothing_is_counted() -> None:
    with Wire(trusted=True, settings={"metrics": {"tenants": 0}}) as wire:
        wire.client.sends(ask(b"X-Tenant-ID: acme"))
        wire.endpoint(0).answers()
        assert wire.block.tenants == []
        Tenants(wire.block, 0).sweep(1.0)
        assert shown(wire.block) == {}


def test_a_tenant_counts_where_each_of_its_requests_went() -> None:
    own = block()
    router = Router(IdentityRules(), Policy(), "X-Tenant-ID", tenants=own.tenants)
    router.swap(RoutingTable(version=1))
    head = RequestHead()
    head.tenant = b"acme"
    route = router.route(head, b"id")
    assert isinstance(route, Route)
    bound = router.bound(route, Slot.GREEN)
    assert (route.slot, bound.slot) == (Slot.BLUE, Slot.GREEN)
    for one, status, times in (
        (route, 200, 3),
        (bound, 500, 2),
        (router.bound(bound, Slot.BLUE), 502, 1),
    ):
        assert one.count is not None
        for _ in range(times):
            one.count.finished(status, 1_000)
    assert len(own.tenants) == 3
    Tenants(own, 20).sweep(1.0)
    (entry,) = read(own).entries
    assert (entry.requests, entry.failures, entry.micros) == (6, 3, 6_000)
    assert (entry.green_requests, entry.green_failures, entry.green_micros) == (2, 2, 2_000)


def test_cardinality_is_bounded_under_ten_thousand_tenants(seeded_random: random.Random) -> None:
    everything = Telemetry(3)
    exact = Counter[str]()
    for own in everything.blocks:
        own.cells[telemetry.STATE] = telemetry.SERVING
        tenants = Tenants(own, 20)
        for now in range(10):
            stream = Counter(skewed(seeded_random, 5_000))
            stream.update(f"tenant-{number}" for number in range(TENANTS))  # each once
            for tenant, requests in stream.items():
                count(own, tenant, requests)
            exact += stream
            tenants.sweep(float(now))
            assert own.tenants == []
        assert len(tenants.summary.entries) == 20 * CAPACITY_PER_TENANT
    families = {family.name: family for family in Cells(everything).collect()}
    samples = families["turnout_tenant_requests"].samples
    assert len(samples) == 20
    for name in ("turnout_tenant_failures", "turnout_tenant_seconds"):
        assert [s.labels for s in families[name].samples] == [s.labels for s in samples]
    error = families["turnout_tenant_error"].samples[0].value
    assert error <= exact.total() / (20 * CAPACITY_PER_TENANT)
    for sample in samples:
        assert exact[sample.labels["tenant"]] - error <= sample.value
        assert sample.value <= exact[sample.labels["tenant"]]
    best = [name for name, _ in exact.most_common(3)]
    assert [sample.labels["tenant"] for sample in samples[:3]] == best


def test_the_largest_summary_fits_into_its_area() -> None:
    own = block()
    tenants = Tenants(own, 100)
    for number in range(100 * CAPACITY_PER_TENANT):
        count(own, f"{number:063}", 10**12)
    tenants.sweep(1.0)
    assert len(read(own).entries) == 100 * CAPACITY_PER_TENANT


# ── shared memory ─────────────────────────────────────────────────────────────────────────────


def test_an_empty_area_says_nothing() -> None:
    assert shown(block()) == {}


def test_a_half_that_is_being_written_is_not_believed(seeded_random: random.Random) -> None:
    own = block()
    tenants = Tenants(own, 20)
    for now, tenant in enumerate(("acme", "acme", "umbra")):
        count(own, tenant)
        tenants.sweep(float(now))
    before, newest = {"acme": (2, 0, 2000)}, {"acme": (2, 0, 2000), "umbra": (1, 0, 1000)}
    assert shown(own) == newest
    place = AREA_BYTES // 2 + seeded_random.randrange(60)  # the third was written to half 1
    own.area[place] ^= 0xFF
    assert shown(own) == before
    own.area[place] ^= 0xFF
    assert shown(own) == newest


def test_what_a_dead_worker_counted_stays_and_goes_on() -> None:
    own = block()
    tenants = Tenants(own, 20)
    count(own, "acme", 3, status=500)
    tenants.sweep(1.0)
    following = Tenants(own, 20)
    following.adopt()
    count(own, "acme", 2)
    following.sweep(2.0)
    assert shown(own) == {"acme": (5, 3, 5000)}
    shorter = Tenants(own, 20)
    shorter.adopt()
    shorter.sweep(3.0)
    assert shown(own) == {"acme": (5, 3, 5000)}


def test_only_workers_that_live_rank() -> None:
    everything = Telemetry(2)
    gone, lives = everything.blocks
    for own, tenant, requests in ((gone, "past", 100), (gone, "acme", 1), (lives, "acme", 2)):
        count(own, tenant, requests)
        tenants = Tenants(own, 1)
        tenants.adopt()
        tenants.sweep(1.0)
    ranked, _ = busiest([(gone, False), (lives, True)])
    assert [(entry.tenant, entry.requests) for entry in ranked] == [("acme", 3)]


@pytest.mark.parametrize(("later", "weight"), [(1.0, 8), (HALF_LIFE_S, 4)])
def test_what_was_long_ago_counts_half(later: float, weight: int) -> None:
    own = block()
    tenants = Tenants(own, 20)
    count(own, "acme", 8)
    tenants.sweep(10.0)
    tenants.sweep(10.0 + later)
    assert [entry.weight for entry in read(own).entries] == [weight]
