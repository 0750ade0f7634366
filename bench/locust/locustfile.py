"""locust scenarios against a Turnout: tenants, the canary, WebSockets, and who is misrouted.

    . .turnout/demo/env
    locust -f bench/locust/locustfile.py --host "$TURNOUT_PROXY_URL" TenantUser MisrouteUser

Each class is a kind of user; those that are named run. What is to be right is a failure of locust's
when it isn't, so that `--exit-code-on-error` speaks of it too.
"""

import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, User, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment

# locust runs from an environment of its own, which has no package of ours.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.locust.live_socket import Closed, Socket, SocketError

SLOTS = ("blue", "green")
TENANT_FIELD, SLOT_FIELD = "X-Tenant-ID", "X-Turnout-Slot"
ADMIN_URL = os.environ.get("TURNOUT_ADMIN_URL", "http://127.0.0.1:8081")
SOCKET_WAIT_S = 5.0
MESSAGE_EVERY_S = 0.25
_numbers = itertools.count()


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    add = parser.add_argument
    add("--tenants", type=int, default=40, help="how many tenants, named tenant-0000 and so on")
    add("--path", default="/api/jobs?limit=1", help="what is asked for")
    add("--socket-path", default="/ws/dashboard", help="where WebSockets are opened")
    add("--each-s", type=float, default=0.1, help="seconds from one request of a user to its next")


def tenants(environment: Environment) -> Iterator[str]:
    """All tenants in turn, for ever; each user begins with another."""
    count = environment.parsed_options.tenants
    return (f"tenant-{number % count:04d}" for number in itertools.count(next(_numbers)))


def pace(user: User) -> float:
    """Locust's wait time: as the option says."""
    wait: float = constant_pacing(user.environment.parsed_options.each_s)(user)
    return wait


class Routed(FastHttpUser):
    """A user whose requests carry a tenant and must be answered by a slot."""

    abstract = True
    wait_time = pace

    def on_start(self) -> None:
        """Whom it speaks for."""
        self.tenants = tenants(self.environment)
        self.path = self.environment.parsed_options.path

    def ask(self, tenant: str, name: str, expected: str = "") -> str:
        """One request; the slot that answered. It fails unless it is 200 from the slot expected."""
        fields = {TENANT_FIELD: tenant}
        with self.client.get(self.path, headers=fields, name=name, catch_response=True) as answer:
            slot = answer.headers.get(SLOT_FIELD, "") if answer.headers else ""
            fault = _fault(answer, slot, expected)
            if fault:
                answer.failure(fault)
        return slot


def _fault(answer: FastResponse, slot: str, expected: str) -> str:
    if answer.status_code != 200:
        return f"status {answer.status_code}"
    if slot not in SLOTS:
        return f"no slot in {SLOT_FIELD}: {slot!r}"
    return f"misrouted: {slot}, not {expected}" if expected not in {"", slot} else ""


class TenantUser(Routed):
    """Tenants in turn: the plain load that a switch must not be felt by."""

    @task
    def request(self) -> None:
        """One request for the next tenant."""
        self.ask(next(self.tenants), "tenant")


class CanaryUser(Routed):
    """The same, counted by slot: what share the canary gets is printed at the end."""

    shares: ClassVar[Counter[str]] = Counter()

    @task
    def request(self) -> None:
        """One request for the next tenant."""
        self.shares[self.ask(next(self.tenants), "canary")] += 1


@events.test_stop.add_listener
def _tell_shares(**_: object) -> None:
    total = CanaryUser.shares.total()
    for slot in SLOTS if total else ():
        count = CanaryUser.shares[slot]
        print(f"canary: {slot} answered {count} of {total} requests, {count / total:.1%}")


class MisrouteUser(Routed):
    """Asks where a tenant goes, sends a request, and looks whether it went there.

    The API says the version and whether all workers serve it. If it says the same version before
    and after, no change came between, and the request must have gone where that version says. Else
    the request is not judged. Switch meanwhile: `turnout cutover green`, `turnout tenants pin …`.
    """

    def on_start(self) -> None:
        """A token is needed: any role will do."""
        super().on_start()
        self.token = {"Authorization": f"Bearer {os.environ['TURNOUT_TOKEN']}"}

    @task
    def request(self) -> None:
        """One tenant, asked about and asked for."""
        tenant = next(self.tenants)
        before, expected = self._settled(), self._route(tenant)
        slot = self.ask(tenant, "judged later")
        if before is None or before != self._settled():
            return
        fault = None if slot == expected else AssertionError(f"{slot or 'nobody'}, not {expected}")
        self.environment.events.request.fire(
            request_type="CHECK", name="after the ack", response_time=0, response_length=0,
            response=None, context={}, exception=fault,
        )  # fmt: skip

    def _settled(self) -> int | None:
        """The version that all workers serve; None while a change is under way."""
        found = self._admin("/v1/workers")
        version: int = found["version"]
        return version if found["converged"] else None

    def _route(self, tenant: str) -> str:
        return str(self._admin(f"/v1/tenants/{tenant}/route")["slot"])

    def _admin(self, path: str) -> dict[str, Any]:
        name = "admin" if "route" in path else path
        with self.client.get(
            ADMIN_URL + path, headers=self.token, name=name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                gevent.sleep(1)
                return {"version": -1, "converged": False, "slot": ""}
            found: dict[str, Any] = answer.json()
        return found


class SocketUser(User):
    """A WebSocket that is kept open, and opened anew when it is told goodbye.

    In locust's table: "open" (how long the handshake took), "message" (one each 0.25 s), "closed
    1012" (the code of a close frame, with the seconds that it was open as response time), and "back"
    (from a close to the next handshake). A connection that ends without a close frame is a failure.
    """

    def on_start(self) -> None:
        """Whom it speaks for."""
        self.tenant = next(tenants(self.environment))
        at = urlsplit(self.host or "")
        self.address = (at.hostname or "127.0.0.1", at.port or 80)
        self.closed = 0.0

    @task
    def live(self) -> None:
        """From its opening to its end."""
        began = time.perf_counter()
        path = self.environment.parsed_options.socket_path
        try:
            socket = Socket(self.address, path, {TENANT_FIELD: self.tenant}, SOCKET_WAIT_S)
        except (OSError, SocketError) as error:
            self._note("open", began, error)
            gevent.sleep(0.05)
            return
        self._note("open", began)
        if self.closed:
            self._note("back", self.closed)
        opened = time.perf_counter()
        try:
            self._talk(socket)
        except Closed as closed:
            self.closed = time.perf_counter()
            self._note(f"closed {closed.code}", opened)
        except (OSError, SocketError) as error:
            self.closed = time.perf_counter()
            self._note("message", self.closed, error)
        finally:
            socket.close()

    def _talk(self, socket: Socket) -> None:
        while True:
            began = time.perf_counter()
            socket.say(b"ping")
            socket.listen()
            self._note("message", began)
            socket.rest(MESSAGE_EVERY_S)

    def _note(self, name: str, began: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=(time.perf_counter() - began) * 1000,
            response_length=0, response=None, context={}, exception=error,
        )  # fmt: skip
