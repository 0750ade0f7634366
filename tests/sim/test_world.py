"""The simulation's own parts: time, processes, and the ways between them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.sim.network import OPENING, Connection, Network, Way, connect
from tests.sim.world import CLOCK, World


class Echo:
    """A server that answers what it is asked."""

    name = "echo"

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.lost_connections = 0

    def receive(self, connection: Connection, request: Any) -> None:
        self.heard.append(request)
        connection.answer(request)

    def lost(self, connection: Connection) -> None:
        self.lost_connections += 1

    def broken(self) -> Exception:
        return ConnectionResetError()

    def refused(self) -> Exception:
        return ConnectionRefusedError()


@pytest.fixture
def world() -> Any:
    world = World(1)
    world.network = Network(world)
    yield world
    world.close()


def noting(notes: list[str], what: str) -> Callable[[], None]:
    return lambda: notes.append(what)


def test_time_jumps_to_what_is_due_next(world: World) -> None:
    node, woken = world.node("n"), []

    async def sleep() -> None:
        began = CLOCK.monotonic()
        await asyncio.sleep(3600.0)
        woken.append((CLOCK.monotonic() - began, world.now))

    with node.inside():
        node.start(sleep())
    world.run(10_000.0)
    own, true = woken[0]
    assert own == pytest.approx(3600.0, abs=1e-6)
    assert true == pytest.approx(3600.0, abs=0.1)
    assert own != true


def test_who_stood_still_meets_what_came_first_and_its_timers_after(world: World) -> None:
    node = world.node("n")
    notes: list[str] = []
    with node.inside():
        node.loop.call_later(1.0, noting(notes, "timer"))
    world.at(0.5, node.stop)
    world.at(2.0, lambda: node.loop.call_soon(noting(notes, "from outside")))
    world.at(3.0, node.go_on)
    world.run(2.5)
    assert notes == []
    world.run(4.0)
    assert notes == ["from outside", "timer"]


def test_of_who_was_killed_nothing_runs(world: World) -> None:
    node = world.node("n")
    notes: list[str] = []
    with node.inside():
        node.loop.call_later(1.0, noting(notes, "timer"))
    world.at(0.5, node.kill)
    world.at(0.6, node.go_on)
    world.run(2.0)
    assert notes == []


def asking(world: World, server: Echo, *requests: Any, limit_s: float = 1.0) -> Any:
    """A process that asks this, and the task in which it does."""
    node = world.node("n")

    async def ask() -> list[Any]:
        connection = await connect(world.network, node, server, limit_s)
        return [await connection.ask(each, limit_s) for each in requests]

    with node.inside():
        return node, node.start(ask())


def test_what_is_asked_is_answered(world: World) -> None:
    _, task = asking(world, Echo(), 1, 2)
    world.run(1.0)
    assert task.result() == [1, 2]


def test_where_nobody_listens_that_is_said(world: World) -> None:
    server = Echo()
    world.network.set_way(server, Way.REFUSED)
    _, task = asking(world, server)
    world.run(1.0)
    assert isinstance(task.exception(), ConnectionRefusedError)


def test_a_hole_says_nothing_and_lets_through_later_what_was_sent(world: World) -> None:
    server = Echo()
    _, task = asking(world, server, "early", limit_s=0.5)
    world.run(0.0)
    world.network.set_way(server, Way.HOLE)
    world.run(2.0)
    assert isinstance(task.exception(), TimeoutError)
    assert OPENING not in server.heard[1:]
    world.network.set_way(server, Way.OPEN)
    world.run(3.0)
    assert server.lost_connections == 1


def test_a_cut_breaks_what_is_asked(world: World) -> None:
    server = Echo()
    server.receive = lambda *_: world.network.cut(server)  # type: ignore[method-assign]
    _, task = asking(world, server)
    world.run(1.0)
    assert isinstance(task.exception(), ConnectionResetError)


def test_the_server_hears_that_a_client_was_killed(world: World) -> None:
    server = Echo()
    node, _ = asking(world, server, "all")
    world.run(1.0)
    assert server.heard == [OPENING, "all"]
    node.kill()
    world.run(2.0)
    assert server.lost_connections == 1
