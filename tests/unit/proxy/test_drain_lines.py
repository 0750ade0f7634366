"""Whom a drain ends next, with a pace for each tenant and without."""

from proxy.exchange.drains import Lasting
from proxy.exchange.lines import MAX_ASKED, Line
from proxy.routing.lasting import WEBSOCKET
from proxy.routing.model import Drain, Slot

PLAIN = Drain(Slot.BLUE, per_second=10.0)
SHARED = Drain(Slot.BLUE, per_second=10.0, tenant_per_second=1.0)


def line(*tenants: str | None) -> Line[str]:
    """One connection of each, silent longest first; named by tenant and place."""
    return Line(
        (Lasting(WEBSOCKET, Slot.BLUE, tenant, float(place), may_end=True), f"{tenant}{place}")
        for place, tenant in enumerate(tenants)
    )


def nobody(_: str) -> bool:
    return False


def anybody(_: str) -> bool:
    return True


def test_without_a_pace_for_tenants_the_line_goes_as_it_stands() -> None:
    waiting = line("a", "a", "b")
    assert waiting.forward(PLAIN, 1.0, anybody) == [("", 3)]
    assert waiting.take(None, anybody, 2) == ["a0", "a1"]
    assert waiting.forward(PLAIN, 1.0, anybody) == [("", 1)]
    assert waiting.take(None, anybody, 9) == ["b2"]
    assert waiting.forward(PLAIN, 1.0, anybody) == []


def test_a_tenant_puts_no_more_forward_than_its_pace_could_grant() -> None:
    waiting = line("a", "a", "a", "a", "b", None)
    assert waiting.forward(SHARED, 1.0, nobody) == [("a", 2), ("b", 1), ("", 1)]


def test_all_together_put_no_more_forward_than_the_drains_pace_could_grant() -> None:
    waiting = line(*(f"t{number}" for number in range(40)))
    forward = waiting.forward(SHARED, 0.35, nobody)
    assert forward == [(f"t{number}", 1) for number in range(5)]
    crowd = line(*(f"t{number}" for number in range(2 * MAX_ASKED)))
    assert len(crowd.forward(Drain(Slot.BLUE, None, 1e5, False, 1.0), 1.0, nobody)) == MAX_ASKED


def test_who_rests_keeps_nobody_waiting() -> None:
    waiting = line(*["a"] * 50, "b")
    assert waiting.forward(SHARED, 1.0, lambda tenant: tenant == "a") == [("b", 1)]


def test_what_is_granted_to_a_tenant_leaves_the_line_in_order() -> None:
    waiting = line("a", "b", "a", "a", "b")
    assert waiting.take("a", anybody, 2) == ["a0", "a2"]
    assert waiting.take(None, anybody, 9) == ["b1", "a3", "b4"]


def test_who_is_not_wanted_any_more_costs_nothing_that_was_granted() -> None:
    waiting = line("a", "a", "a")
    assert waiting.take("a", lambda held: held != "a0", 1) == ["a1"]
    assert waiting.take(None, anybody, 9) == ["a2"]
    assert len(waiting) == 0
