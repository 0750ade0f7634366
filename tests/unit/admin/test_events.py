"""Listeners get what they asked for; a slow one is cut off and holds nobody up."""

import pytest

from admin.routing.events import Hub, TooManyListenersError


async def test_a_listener_gets_the_kinds_that_it_asked_for():
    hub = Hub(listeners=2, queue=10)
    listener = hub.subscribe(frozenset({"change"}))
    hub.tell("worker", {"n": 1})
    hub.tell("change", {"n": 2})
    assert await listener.next(1.0) == ("change", {"n": 2})


async def test_a_slow_listener_is_cut_off_and_the_others_are_not():
    hub = Hub(listeners=2, queue=2)
    slow, quick = (hub.subscribe(frozenset({"change"})) for _ in range(2))
    for number in range(3):
        hub.tell("change", {"n": number})
        assert await quick.next(1.0) == ("change", {"n": number})
    assert slow.overrun
    assert await slow.next(1.0) is None
    hub.tell("change", {"n": 3})
    with pytest.raises(TimeoutError):
        await slow.next(0.0)


async def test_silence_is_told():
    listener = Hub(listeners=1, queue=1).subscribe(frozenset({"change"}))
    with pytest.raises(TimeoutError):
        await listener.next(0.0)


async def test_places_are_limited_and_given_back():
    hub = Hub(listeners=1, queue=1)
    listener = hub.subscribe(frozenset())
    with pytest.raises(TooManyListenersError):
        hub.subscribe(frozenset())
    hub.leave(listener)
    assert not hub.subscribe(frozenset()).overrun


async def test_closing_ends_every_feed():
    hub = Hub(listeners=1, queue=1)
    listener = hub.subscribe(frozenset({"change"}))
    hub.tell("change", {})
    hub.close()
    assert await listener.next(1.0) is None
