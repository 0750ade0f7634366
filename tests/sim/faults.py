"""What goes wrong in a history: servers that are away, slow or forget; processes that stand still, die and
start anew; connections that break. All of it ends.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from tests.sim.network import Connection, Way, nothing
from tests.sim.workers import SimulatedWorker
from tests.sim.world import Node

if TYPE_CHECKING:
    from tests.sim.scenario import Scenario

Kind = Callable[["Faults", float], None]
"""Begins a fault; its argument is a time, in seconds, that it lasts for."""


class Faults:
    """The faults of one history."""

    def __init__(self, scenario: "Scenario") -> None:
        self.of = scenario
        self.world = scenario.world
        self.lots = scenario.lots
        self._undo: list[Callable[[], None]] = []
        self._over = False

    def plan(self, begin: float, end: float) -> None:
        """Some, at some time."""
        for _ in range(self.lots.randint(1, 4)):
            kind = self.lots.choice(KINDS)
            lasts_s = self.lots.choice((0.05, 0.3, 1.0, 2.5, 4.0))
            when = self.lots.uniform(begin, begin + 0.8 if kind in _LONG else end)
            self.world.at(when, partial(kind, self, lasts_s))
        # Drawn apart, so that the histories of other seeds stay as they were.
        apart = Random(f"site {self.world.seed}")
        if apart.random() < _SITES_LOST:
            self.world.at(apart.uniform(begin, end), partial(self.site_is_lost, 1.0))

    def end(self) -> None:
        """No more faults; what is broken is mended."""
        self._over = True
        self.world.tell("faults", "end")
        for undo in self._undo:
            undo()
        self.world.network.heal()
        self._restart()

    def _restart(self) -> None:
        """Somebody has to be there."""
        while sum(admin.node.alive for admin in self.of.admins) < 2:
            self.of.start_admin()
        while len(self.of.fleet.alive) < 2:
            self.of.fleet.start()

    def _for(self, lasts_s: float, what: str, undo: Callable[[], None]) -> None:
        """Undo it after a time, or when all faults end."""
        self.world.tell("faults", f"{what}, for {lasts_s} s")
        open_ = [True]

        def once() -> None:
            if open_[0]:
                open_[0] = False
                self.world.tell("faults", f"over: {what}")
                undo()

        self._undo.append(once)
        self.world.after(lasts_s, once)

    def _later(self, act: Callable[[], object], most_s: float) -> None:
        """After a while, if faults are not over by then."""
        self.world.after(self.lots.uniform(0.0, most_s), lambda: None if self._over else act())

    # ── servers ───────────────────────────────────────────────────────────────────────────────

    def _server(self) -> Any:
        return self.lots.choice((self.of.redis, self.of.redis, self.of.postgres))

    def down(self, lasts_s: float) -> None:
        """It is stopped; what it knows stays."""
        server, network = self._server(), self.world.network
        network.set_way(server, Way.REFUSED)
        undo = lambda: network.set_way(server, Way.OPEN)  # noqa: E731
        self._for(lasts_s, f"{server.name} is down", undo)

    def emptied(self, lasts_s: float) -> None:
        """Redis starts anew, and knows nothing."""
        redis, network = self.of.redis, self.world.network
        network.set_way(redis, Way.REFUSED)
        redis.restore(type(redis.data)())
        undo = lambda: network.set_way(redis, Way.OPEN)  # noqa: E731
        self._for(lasts_s, "redis has lost everything", undo)

    def fails_over(self, lasts_s: float) -> None:
        """Redis' replica takes over. It is behind by a moment."""
        redis = self.of.redis
        replica = redis.data.copied()
        behind_s = self.lots.choice((0.01, 0.5, 1.0, 1.0))

        def take_over() -> None:
            redis.restore(replica)
            self.world.network.set_way(redis, Way.REFUSED)
            undo = lambda: self.world.network.set_way(redis, Way.OPEN)  # noqa: E731
            self._for(min(lasts_s, 1.0), f"redis fails over, and loses {behind_s} s", undo)

        self.world.after(behind_s, lambda: None if self._over else take_over())

    def database_fails_over(self, lasts_s: float) -> None:
        """PostgreSQL's replica takes over, which is behind: commits are lost."""
        postgres = self.of.postgres
        replica = postgres.data
        behind_s = self.lots.choice((0.05, 0.5))

        def take_over() -> None:
            self.of.books.takes_back = True
            postgres.promote(replica)
            self.world.network.set_way(postgres, Way.REFUSED)
            undo = lambda: self.world.network.set_way(postgres, Way.OPEN)  # noqa: E731
            self._for(min(lasts_s, 1.0), f"postgres fails over, and loses {behind_s} s", undo)

        self.world.after(behind_s, lambda: None if self._over else take_over())

    def site_is_lost(self, lasts_s: float) -> None:
        """The replicas of both take over, in another place, and lack the same moment."""
        redis, postgres = self.of.redis, self.of.postgres
        of_redis, of_postgres = redis.data.copied(), postgres.data

        def ways(way: Way) -> None:
            for server in (redis, postgres):
                self.world.network.set_way(server, way)

        def take_over() -> None:
            self.of.books.takes_back = True
            redis.restore(of_redis)
            postgres.promote(of_postgres)
            ways(Way.REFUSED)
            undo = partial(ways, Way.OPEN)
            self._for(lasts_s, "a site is lost, and 0.5 s of both stores", undo)

        self.world.after(0.5, lambda: None if self._over else take_over())

    def hole(self, lasts_s: float) -> None:
        """What is sent to it gets no answer."""
        server, network = self._server(), self.world.network
        nodes = [*(a.node for a in self.of.admins), *(w.node for w in self.of.fleet.workers)]
        nodes = [node for node in nodes if node.alive]
        node = self.lots.choice((None, *nodes, *nodes))
        network.set_way(server, Way.HOLE, node)
        undo = lambda: network.set_way(server, Way.OPEN, node)  # noqa: E731
        who = "everybody" if node is None else node.name
        self._for(lasts_s, f"a black hole between {who} and {server.name}", undo)

    def slow(self, lasts_s: float) -> None:
        server, network = self._server(), self.world.network
        factor = self.lots.choice((20.0, 200.0, 1000.0))
        network.slow(server, factor)
        undo = lambda: network.slow(server, 1.0)  # noqa: E731
        self._for(lasts_s, f"{server.name} is {factor:g} times as slow", undo)

    def cuts(self, _: float) -> None:
        server = self._server()
        self.world.tell("faults", f"the connections to {server.name} break")
        self.world.network.cut(server)

    def flaky(self, lasts_s: float) -> None:
        """Connections break at any message, before or after it had its effect."""
        network = self.world.network
        network.cut_share = self.lots.choice((0.05, 0.3))
        self._for(lasts_s, "connections break", lambda: setattr(network, "cut_share", 0.0))

    # ── processes ─────────────────────────────────────────────────────────────────────────────

    def worker_stops(self, lasts_s: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        alive = self.of.fleet.alive
        if alive:
            self._stop(self.lots.choice(alive).node, lasts_s)

    def worker_dies(self, _: float) -> None:
        """kill -9; the supervisor starts another."""
        alive = self.of.fleet.alive
        if alive:
            self._kill(self.lots.choice(alive).node)

    def worker_is_replaced(self, _: float) -> None:
        """SIGTERM: it drains; another starts."""
        serving = [worker for worker in self.of.fleet.alive if worker.accepts]
        if serving:
            worker = self.lots.choice(serving)
            self.world.tell(worker.node.name, "is told to end")
            worker.retire(3.0)
            self.of.fleet.start()

    def admin_stops(self, lasts_s: float) -> None:
        alive = [admin.node for admin in self.of.admins if admin.node.alive]
        if alive:
            self._stop(self.lots.choice(alive), lasts_s)

    def admin_dies(self, _: float) -> None:
        alive = [admin.node for admin in self.of.admins if admin.node.alive]
        if alive:
            self._kill(self.lots.choice(alive))

    # ── at the worst moment ───────────────────────────────────────────────────────────────────

    def trap_of_database(self, lasts_s: float) -> None:
        """Something happens to an admin as its change, or its switch's move, is committed."""
        postgres, wanted = self.of.postgres, self.lots.choice(("commit", "commit", "move"))

        def spring(connection: Connection, what: str) -> None:
            if what == wanted and self._is_ours(connection.node):
                postgres.trap = nothing
                self._strike(connection, f"as it commits a {what}", lasts_s)

        postgres.trap = spring
        self._undo.append(lambda: setattr(postgres, "trap", nothing))

    def trap_of_redis(self, lasts_s: float) -> None:
        """Something happens to a process as its publication, its lease, its goodbye arrives."""
        redis, wanted = self.of.redis, self.lots.choice(("publish", "publish", "renew", "leave"))

        def spring(connection: Connection, what: str) -> None:
            if what == wanted and self._is_ours(connection.node):
                redis.trap = nothing
                self._strike(connection, f"as Redis has its {what}", lasts_s)

        redis.trap = spring
        self._undo.append(lambda: setattr(redis, "trap", nothing))

    def trap_of_steps(self, _: float) -> None:
        """The admin dies as it has a step done."""

        def spring(node: Node) -> None:
            self.of.steps.trap = nothing
            if node.alive:
                self._kill(node)

        self.of.steps.trap = spring
        self._undo.append(lambda: setattr(self.of.steps, "trap", nothing))

    def late_answer(self, _: float) -> None:
        """A worker hears late that its lease is renewed, and then hears no more."""
        redis, network = self.of.redis, self.world.network

        def spring(connection: Connection, what: str) -> None:
            if what == "renew":
                redis.trap = nothing
                connection.delay_answer(0.9)
                node = connection.node
                self.world.after(0.0, lambda: network.set_way(redis, Way.HOLE, node))
                undo = lambda: network.set_way(redis, Way.OPEN, node)  # noqa: E731
                self._for(8.0, f"{node.name} is answered late, then not any more", undo)

        redis.trap = spring
        self._undo.append(lambda: setattr(redis, "trap", nothing))

    def cut_off(self, _: float) -> None:
        """A worker hears nothing more of Redis, and goes on."""
        alive = self.of.fleet.alive
        if alive:
            redis, node = self.of.redis, self.lots.choice(alive).node
            self.world.network.set_way(redis, Way.HOLE, node)
            undo = lambda: self.world.network.set_way(redis, Way.OPEN, node)  # noqa: E731
            self._for(8.0, f"{node.name} is cut off from redis", undo)

    def _is_ours(self, node: Node) -> bool:
        """Whether it may die: the keeper, and who looks at the end, may not."""
        return node.name not in {"keeper", "reader"}

    def _strike(self, connection: Connection, when: str, lasts_s: float) -> None:
        node, network = connection.node, self.world.network
        act = self.lots.choice(("die", "die", "stand still", "cut", "cut", "hole"))
        self.world.tell("faults", f"{node.name}, {when}: {act}")
        if act == "die":
            self._kill(node)
        elif act == "cut":
            connection.reset()
        elif act == "hole":
            network.set_way(connection.server, Way.HOLE, node)
            undo = lambda: network.set_way(connection.server, Way.OPEN, node)  # noqa: E731
            self._for(lasts_s, f"a black hole for {node.name}", undo)
        else:
            self._stop(node, lasts_s)

    def _worker(self, node: Node) -> SimulatedWorker | None:
        return next((each for each in self.of.fleet.workers if each.node is node), None)

    def _stop(self, node: Node, lasts_s: float) -> None:
        worker = self._worker(node)
        node.stop()
        go_on = node.go_on if worker is None else worker.goes_on
        self._for(lasts_s, f"{node.name} stands still", go_on)

    def _kill(self, node: Node) -> None:
        worker = self._worker(node)
        if worker is not None:
            self.of.fleet.kill(worker, self.lots.choice((None, 0.002, 0.05)))
            self._later(self.of.fleet.start, 0.5)
            return
        self.world.tell(node.name, "is killed")
        node.kill()
        self._later(self.of.start_admin, 1.0)


KINDS: tuple[Kind, ...] = (
    Faults.down,
    Faults.down,
    Faults.emptied,
    Faults.fails_over,
    Faults.fails_over,
    Faults.fails_over,
    Faults.database_fails_over,
    Faults.hole,
    Faults.hole,
    Faults.hole,
    Faults.slow,
    Faults.cuts,
    Faults.flaky,
    Faults.worker_stops,
    Faults.worker_stops,
    Faults.worker_stops,
    Faults.worker_dies,
    Faults.worker_dies,
    Faults.worker_is_replaced,
    Faults.admin_stops,
    Faults.admin_dies,
    Faults.admin_dies,
    Faults.trap_of_database,
    Faults.trap_of_database,
    Faults.trap_of_redis,
    Faults.trap_of_redis,
    Faults.trap_of_steps,
    Faults.late_answer,
    Faults.cut_off,
)
_SITES_LOST = 0.05
"""In how many histories."""
_LONG = frozenset({Faults.late_answer, Faults.cut_off})
"""They last to the end, so they begin early."""
"""How often each is drawn, by how often it stands here."""
