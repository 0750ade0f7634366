"""The weight for a share of traffic: never above, the closest, the lowest of its kind."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.canary.weights import Choice, Next, NoTrafficError, choose
from proxy.routing.canary import bucket
from proxy.routing.decision import routed
from proxy.routing.model import BASIS_POINTS, Canary, RoutingTable, Slot, Unit
from proxy.routing.traffic import Traffic
from tests.support.examples import examples
from tests.support.routing_strategies import salts, tenants

named = st.dictionaries(tenants, st.integers(1, 10_000), max_size=8)
pins = st.dictionaries(tenants, st.sampled_from(Slot), max_size=2)
lists = st.frozensets(tenants, max_size=2)
canaries = st.builds(Canary, st.just(0), st.just(Unit.TENANT), salts, lists, lists)


def drawn_by(weight: int, canary: Canary, pinned: dict[str, Slot], traffic: Traffic) -> float:
    """What the table itself says that this weight draws, of the requests that are named."""
    table = RoutingTable(pins=pinned, canary=replace(canary, basis_points=weight))
    return sum(
        n
        for tenant, n in traffic.requests.items()
        if tenant not in pinned and routed(table, tenant).slot is Slot.GREEN
    )


@examples()
@given(named, st.integers(0, 20_000), canaries, pins, st.integers(0, BASIS_POINTS))
def test_it_is_the_closest_that_is_not_above(
    requests: dict[str, int], others: int, canary: Canary, pinned: dict[str, Slot], asked: int
) -> None:
    traffic = Traffic(requests, others, 1)
    if not traffic.total:
        with pytest.raises(NoTrafficError):
            choose(canary, pinned, traffic, asked)
        return
    choice = choose(canary, pinned, traffic, asked)
    if asked == BASIS_POINTS:
        assert choice.basis_points == BASIS_POINTS
        return
    strangers = 0 if canary.allow else others

    def draws(weight: int) -> float:
        """Times 10 000, so that it is whole."""
        return drawn_by(weight, canary, pinned, traffic) * BASIS_POINTS + weight * strangers

    limit = asked * traffic.total
    got = draws(choice.basis_points)
    assert got <= limit
    assert choice.requests * BASIS_POINTS == pytest.approx(got)
    places = {bucket(canary.salt, tenant) for tenant in requests}
    steps = {0, 1, choice.basis_points - 1, choice.basis_points + 1, BASIS_POINTS}
    for weight in sorted(steps | places | {place + 1 for place in places}):
        if 0 <= weight <= BASIS_POINTS and draws(weight) <= limit:
            assert draws(weight) < got or (draws(weight) == got and weight >= choice.basis_points)


@examples()
@given(named, canaries, st.lists(st.integers(0, BASIS_POINTS), min_size=2, max_size=2))
def test_more_asked_is_never_less_weight(
    requests: dict[str, int], canary: Canary, asked: list[int]
) -> None:
    traffic = Traffic(requests, 5, 1)
    less, more = (choose(canary, {}, traffic, each).basis_points for each in sorted(asked))
    assert less <= more


def test_the_example_of_the_documents() -> None:
    """Asked for 5 %: two tenants that make 4.8 % fit, the third would be too much."""
    salt, wanted = "turnout", {"quarto": 30, "linotype": 18, "bodoni": 500, "acme": 452}
    places = {tenant: bucket(salt, tenant) for tenant in wanted}
    order = sorted(wanted, key=lambda tenant: places[tenant])
    traffic = Traffic({order[0]: 30, order[1]: 18, order[2]: 500, order[3]: 452})
    choice = choose(Canary(salt=salt), {}, traffic, 500)
    assert choice == Choice(
        500,
        places[order[1]] + 1,
        2,
        48.0,
        1000,
        0,
        Next(order[2], places[order[2]], 500),
    )
    assert choice.share == 0.048


def test_who_is_too_large_to_be_drawn_is_named() -> None:
    choice = choose(Canary(), {}, Traffic({"acme": 90, "bravo": 10}), 100)
    assert (choice.basis_points, choice.requests) == (0, 0)
    assert choice.following is not None
    assert choice.following.tenant in {"acme", "bravo"}


@pytest.mark.parametrize("unit", [Unit.REQUEST, Unit.AFFINITY])
def test_by_request_the_weight_makes_up_for_those_that_are_not_drawn(unit: Unit) -> None:
    traffic = Traffic({"acme": 50, "bravo": 30}, 20)
    choice = choose(Canary(unit=unit, deny=frozenset({"acme"})), {}, traffic, 2_000)
    assert (choice.basis_points, choice.tenants, choice.share) == (4_000, None, 0.2)
    assert choose(Canary(unit=unit, allow=frozenset({"x"})), {}, traffic, 5).basis_points == 0
    most = choose(Canary(unit=unit, deny=frozenset({"acme"})), {}, traffic, 9_000)
    assert (most.basis_points, most.share) == (BASIS_POINTS, 0.5)
