"""The supervisor: owns the listening sockets; starts, watches, reloads and drains workers.

Rules: it never touches a request and runs no event loop, so little can go wrong in it. The
sockets are opened once, before the first fork, and shared: what one worker has not accepted
another does, so neither a worker's death nor a reload loses a connection that waits. Signals
are taken one at a time, in the main loop; a reload or an upgrade that is under way is a step of
that loop, so that dead workers are replaced meanwhile. One of the two at a time:

    SIGTERM, SIGINT   drain and end, and refuse new connections; a second one ends at once
    SIGHUP            read the settings again; new workers serve before the old ones drain; one
                      that comes during a reload is carried out after it
    SIGUSR1           have the workers open the access log anew, after its file was moved away
    SIGUSR2           start the program anew, from disk, on the same sockets; see proxy.supervision.upgrade
    SIGCHLD           a child ended: replace it, unless it was meant to
"""

import contextlib
import gc
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import MutableMapping
from functools import partial

from config import ConfigError
from proxy import worker
from proxy.inherited import Inherited, worker_name
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.store import Store
from proxy.supervision import files, listening, upgrade
from proxy.supervision.children import REOPEN, SIGNALS, Child, Children, Respawn, Role
from proxy.supervision.departed import Departed
from proxy.supervision.listening import HTTP, HTTPS, MANAGEMENT, address_of
from proxy.supervision.notify import Notifier
from proxy.supervision.pid_file import PidFile
from proxy.supervision.plan import Load, Plan
from proxy.supervision.reload import Reload
from proxy.supervision.upgrade import Event, Offer, State, Upgrade

log = logging.getLogger("turnout.supervisor")

GENERATIONS = 4
"""Telemetry blocks for each worker: how many reloads' workers may drain at once, and serve."""
_TICK_S = 0.05
_KILL_GRACE_S = 5.0


class Supervisor:
    """See the module. load: reads the settings, at the start and at each SIGHUP."""

    def __init__(self, load: Load, environ: MutableMapping[str, str] = os.environ) -> None:
        self._predecessor = upgrade.predecessor(environ)
        self._upgrade = Upgrade()
        handed = listening.inherited(environ, self._predecessor.said.addresses)
        self._notify = Notifier(environ)
        self._files_limit = files.raise_limit()
        self._plan = Plan.of(load, self._files_limit)
        settings = self._plan.settings
        self._sockets = listening.opened(listening.wanted(settings), handed)
        self._telemetry = Telemetry(settings.worker_count() * GENERATIONS)
        self._children = Children(self._telemetry)
        self._pid_file = PidFile(settings.supervision.pid_file)
        self._respawn = Respawn()
        start = partial(self._start, Role.CANDIDATE)
        self._reload = Reload(load, self._files_limit, self._children, self._notify, start)
        self._upgrade_asked = False
        self._in_charge = self._ready = self._stopping = False
        self._exit_code = 0
        # Never written: children see its end when the supervisor is gone, however it went.
        self._lifeline, self._held_open = os.pipe()
        self._departed = Departed()

    def run(self) -> int:
        """Supervise until told to end; the exit code."""
        # Whoever started us may have ignored it, and that is inherited: children would go unseen.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name, words in ((HTTP, "listening on %s"), (HTTPS, "listening for TLS on %s")):
            if name in self._sockets.by_name:
                log.info(words, address_of(self._sockets.by_name[name]))
        log.info("management on %s", address_of(self._sockets.by_name[MANAGEMENT]))
        for index in range(len(self._plan.settings.tcp)):
            log.info("plain TCP on %s", address_of(self._sockets.by_name[listening.tcp(index)]))
        self._use(self._plan)
        # Nobody's collections touch, and so copy, what children share with us.
        gc.freeze()
        gc.enable()
        self._respawn.missing = [Role.SERVING] * self._plan.workers
        if not self._predecessor.waits():
            self._take_charge()
        while not self._stopping and self._upgrade.state is not State.DONE:
            self._replace_missing()
            self._wait(self._limit_s())
            self._step(time.monotonic())
        self._end()
        return self._exit_code

    # ── the main loop ─────────────────────────────────────────────────────────────────────────

    def _limit_s(self) -> float:
        """For how long nothing but a signal can make a difference."""
        asked = self._reload.asked or self._upgrade_asked
        if self._respawn.missing or self._is_changing() or asked or not self._ready:
            return _TICK_S
        return min(1.0, self._notify.watchdog_s / 8 or 1.0)

    def _is_changing(self) -> bool:
        """Whether a reload or an upgrade is under way."""
        return self._reload.under_way or self._upgrade.state is not State.NONE

    def _wait(self, limit_s: float) -> None:
        """Take one signal, or none within the limit."""
        info = signal.sigtimedwait(SIGNALS, limit_s)
        signum = 0 if info is None else info.si_signo
        # A SIGCHLD may stand for several ends, and one may have come while none was waited for.
        self._reap()
        if signum == signal.SIGHUP:
            log.info("reload asked for")
            self._reload.asked = True
        elif signum == signal.SIGUSR2:
            log.info("upgrade asked for")
            self._upgrade_asked = True
        elif signum == signal.SIGUSR1:
            self._children.signal(REOPEN, Role.SERVING, Role.CANDIDATE, Role.RETIRING)
        elif signum in {signal.SIGTERM, signal.SIGINT}:
            if self._stopping:
                self._kill_all()
            self._stopping = True

    def _step(self, now: float) -> None:
        """Everything that is not a signal. now: monotonic seconds."""
        self._children.look(now)
        limit_s = self._plan.settings.supervision.stall_s
        self._telemetry.supervisor[telemetry.STALLS] += self._children.kill_stalled(limit_s)
        if self._stopping:
            return
        if not self._in_charge and not self._predecessor.waits():
            self._take_charge()
        self._see_whether_ready()
        self._beat(now)
        self._step_reload(now)
        self._step_upgrade(now)

    def _take_charge(self) -> None:
        """Be the main process: what two supervisors can't both have."""
        self._in_charge = True
        self._respawn.missing.append(Role.MANAGEMENT)
        self._pid_file.write()

    def _see_whether_ready(self) -> None:
        serving = self._children.of(Role.SERVING)
        up = [child for child in serving if self._children.serves(child)]
        if self._in_charge:
            if up and not self._ready:
                self._ready = True
                self._notify.ready(self._plan.status())
        elif len(up) == self._plan.workers and (
            not self._predecessor.said.with_table or all(map(self._children.has_table, up))
        ):
            self._predecessor.say_serving()

    def _beat(self, now: float) -> None:
        """Tell the watchdog that we live, and not the supervisor alone.

        One worker that hangs is replaced from here and costs its own connections; a restart would
        cost those of all.
        """
        patience_s = max(self._notify.watchdog_s / 2, 1.0)
        serving = self._children.of(Role.SERVING)
        if self._in_charge and any(child.silent_s < patience_s for child in serving):
            self._notify.beat(now)

    # ── children ──────────────────────────────────────────────────────────────────────────────

    def _reap(self) -> None:
        while self._children or self._upgrade.pid:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid == self._upgrade.pid:
                self._upgrade_gone(code)
            elif (child := self._children.ended(pid)) is not None:
                self._ended(child, code)

    def _ended(self, child: Child, code: int) -> None:
        if child.name and code:
            self._departed.tell(child.name)
        over = self._stopping or self._upgrade.state is State.DONE
        if over or child.role in {Role.RETIRING, Role.CANDIDATE}:
            log.info("%s process %d ended (%d)", child.role.value, child.pid, code)
            return
        then = "replacing it" if self._in_charge else "this upgrade fails"
        log.error("%s process %d died (%s): %s", child.role.value, child.pid, _why(code), then)
        if not self._in_charge:
            # Who waits for us should not have to wait for the limit.
            self._exit_code, self._stopping = 1, True
            return
        self._telemetry.supervisor[telemetry.DEATHS] += 1
        self._respawn.died(child, time.monotonic())

    def _replace_missing(self) -> None:
        now = time.monotonic()
        for role in self._respawn.due(now) if not self._stopping else []:
            if self._start(role, self._plan) is None:
                log.error("no telemetry block is free: too many workers still drain")
                self._respawn.later(role, now)

    def _start(self, role: Role, plan: Plan) -> Child | None:
        token = secrets.token_hex(2)

        def body(block: int) -> None:
            os.close(self._held_open)
            self._upgrade.close()
            self._predecessor.close()
            if role is Role.MANAGEMENT:
                self._sockets.keep(MANAGEMENT)
                own = self._sockets.by_name[MANAGEMENT]
                # Here, not above: its web server takes a quarter second to import.
                from proxy import keeper, management, traffic, windows  # noqa: PLC0415

                store, follow = Store.of(plan.shared), plan.settings.follow
                keeps = keeper.Keeper(store, follow, self._telemetry, self._departed.reader)
                timeout_s, metrics = follow.store_timeout_s, plan.settings.metrics
                tells = traffic.Reporter(store, metrics, timeout_s, self._telemetry)
                node = plan.settings.node_name()
                window = windows.Teller(store, metrics, timeout_s, self._telemetry, node)
                management.run(self._telemetry, own, self._lifeline, keeps, tells, window)
            else:
                self._work(plan, block, token)

        child = self._children.start(role, body)
        if child is not None and role is not Role.MANAGEMENT:
            child.name = worker_name(plan.settings, child.pid, token)
        return child

    def _work(self, plan: Plan, block: int, token: str) -> None:
        # While another supervisor's workers have a table, nobody has to do without one here.
        waits = self._predecessor.said.with_table and not self._in_charge
        serves = (lambda: True) if waits else self._telemetry.serves
        # Which version those have isn't known: nothing on disk is as good.
        newest = (lambda: sys.maxsize) if waits else self._telemetry.newest
        self._sockets.by_name.pop(MANAGEMENT).close()
        worker.run(
            Inherited(
                plan.shared,
                plan.settings,
                self._sockets.by_name,
                plan.certificates,
                plan.endpoints,
                self._telemetry.blocks[block],
                self._telemetry.blocks,
                self._lifeline,
                serves,
                newest,
                token,
            )
        )

    def _replace_management(self) -> None:
        """It has settings too: Redis, and what it keeps for the workers."""
        for child in self._children.of(Role.MANAGEMENT):
            child.role = Role.RETIRING
            os.kill(child.pid, signal.SIGTERM)
            self._respawn.missing.append(Role.MANAGEMENT)

    # ── settings ──────────────────────────────────────────────────────────────────────────────

    def _use(self, plan: Plan) -> None:
        if plan.advice and (plan is self._plan or plan.advice != self._plan.advice):
            log.warning("%s", plan.advice)
        self._plan = plan
        plan.note(self._telemetry.supervisor, self._files_limit)

    def _step_reload(self, now: float) -> None:
        may_begin = self._upgrade.state is State.NONE and self._in_charge
        plan = self._reload.step(now, self._plan, may_begin=may_begin)
        if plan is not None:
            if _of_management(plan) != _of_management(self._plan):
                self._replace_management()
            self._use(plan)
            # Whom an old worker's death left to be replaced has been.
            self._respawn.drop(Role.SERVING)

    # ── upgrade ───────────────────────────────────────────────────────────────────────────────

    def _step_upgrade(self, now: float) -> None:
        if self._upgrade.serves():
            self._make_way()
        elif self._upgrade.is_late(now):
            limit_s = self._plan.settings.supervision.upgrade_s
            log.error("not upgraded: process %d took over %g s", self._upgrade.pid, limit_s)
            self._upgrade.end(Event.LATE)
        elif self._upgrade_asked and not self._is_changing():
            self._upgrade_asked = False
            self._begin_upgrade()

    def _begin_upgrade(self) -> None:
        why_not = self._predecessor.forbids_another()
        if not self._in_charge:
            why_not = "this is an upgrade under way itself"
        if why_not:
            log.error("not upgraded: %s", why_not)
            return
        self._notify.status("upgrading")
        draining = self._predecessor.draining() + 1
        table, addresses = self._telemetry.serves(), self._sockets.addresses
        offer = Offer(os.getpid(), table, draining, addresses)
        limit_s = self._plan.settings.supervision.upgrade_s
        self._upgrade.begin(offer, self._sockets, limit_s)
        log.info("upgrading: process %d starts", self._upgrade.pid)

    def _upgrade_gone(self, code: int) -> None:
        if self._upgrade.state is State.STARTING:
            log.error("not upgraded: process %d ended (%s)", self._upgrade.pid, _why(code))
        if self._upgrade.state is not State.DONE:
            self._notify.status(f"{self._plan.status()}; the last upgrade failed")
        self._upgrade.gone()

    def _make_way(self) -> None:
        """The new supervisor serves: give it what it needs, and retire."""
        pid = self._upgrade.pid
        log.info("upgraded: process %d serves; draining", pid)
        self._notify.hand_over(pid)
        self._upgrade.hand_over()
        if self._reload.asked:
            os.kill(pid, signal.SIGHUP)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def _end(self) -> None:
        """Drain as after a reload, if another serves, else as at the end; a signal shortens it."""
        if self._upgrade.state is State.DONE and not self._stopping:
            self._sockets.close()
            self._children.signal(signal.SIGTERM, Role.MANAGEMENT)
            for child in self._children.of(Role.SERVING, Role.CANDIDATE):
                self._children.retire(child)
            limit_s = self._plan.settings.timeouts.drain_reload_s + _KILL_GRACE_S
            self._wait_for_children(limit_s, *Role, until_stopped=True)
        if self._stopping or self._children or self._upgrade.state is not State.DONE:
            self._stop()
        log.info("ended")

    def _stop(self) -> None:
        log.info("draining")
        self._notify.stopping("draining")
        self._stopping = True
        if self._upgrade.state is State.STARTING:
            self._upgrade.end(Event.STOP)
        if self._in_charge:
            self._predecessor.end()
        self._children.signal(signal.SIGTERM, Role.SERVING, Role.CANDIDATE, Role.RETIRING)
        self._sockets.close()
        timeouts = self._plan.settings.timeouts
        # At the drain limit tunnels are told goodbye, and have the time to answer.
        drain_s = timeouts.drain_s + timeouts.linger_s + _KILL_GRACE_S
        self._wait_for_children(drain_s, Role.SERVING, Role.CANDIDATE, Role.RETIRING)
        self._children.signal(signal.SIGTERM, Role.MANAGEMENT)
        self._wait_for_children(_KILL_GRACE_S, *Role)
        self._kill_all()
        while self._children or self._upgrade.state is State.ENDING:
            self._wait(_TICK_S)
        self._pid_file.remove()

    def _kill_all(self) -> None:
        self._children.signal(signal.SIGKILL, *Role)
        if self._upgrade.state is State.ENDING:
            self._upgrade.end(Event.LATE)

    def _wait_for_children(self, limit_s: float, *roles: Role, until_stopped: bool = False) -> None:
        """Until none in these roles is left, nor who drains beside us, within a limit."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not (until_stopped and self._stopping):
            others = self._upgrade.state is State.ENDING or (
                self._in_charge and self._predecessor.lives()
            )
            if not self._children.of(*roles) and not others:
                return
            self._wait(_TICK_S)
            self._step(time.monotonic())


def _of_management(plan: Plan) -> tuple[object, ...]:
    """The settings that the management process goes by."""
    settings = plan.settings
    return plan.shared, settings.follow, settings.metrics, settings.node_name()


def _why(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def main(load: Load) -> int:
    """Run the data plane; the exit code (2: the settings can't be used)."""
    try:
        supervisor = Supervisor(load)
    except ConfigError as error:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"turnout proxy: {error}\n")
        return 2
    return supervisor.run()
