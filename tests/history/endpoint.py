"""The endpoints of a run: they answer, and their logs are the judges of what was served where.

Rules: a request has begun when its last byte was read, and has ended when its answer is about to
be written, so whoever saw the answer saw it after that moment. Work ends with its connection. An
endpoint can be asked for a switch's step too (`POST /step`): that is logged the same way.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.history.record import Line, Served, Step
from tests.support.messages import Message, take_message

STEP = b"/step"
LONG = 0.04
"""The share of requests that take long."""
SHORT_S, LONG_S, STEP_S = (0.0, 0.015), (0.2, 0.6), (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Logged:
    """Who writes the history, and how long work takes."""

    write: Callable[[Line], None]
    rng: random.Random

    def work_s(self, target: bytes) -> float:
        """How long this takes, in seconds."""
        if target == STEP:
            return self.rng.uniform(*STEP_S)
        return self.rng.uniform(*(LONG_S if self.rng.random() < LONG else SHORT_S))


class Endpoint(asyncio.Protocol):
    """One connection to the endpoint of a slot."""

    def __init__(self, slot: str, logged: Logged) -> None:
        self._slot, self._logged = slot, logged
        self._buffer = bytearray()
        self._request: Message | None = None
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._log(cut=True)

    def _take(self) -> None:
        if self._request is not None:
            return
        self._request = take_message(self._buffer, b"")
        if self._request is not None:
            self._began = time.monotonic()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._logged.work_s(self._request.target), self._answer)

    def _answer(self) -> None:
        self._timer = None
        said = self._log(cut=False).encode()
        self._request = None
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said)
        self._transport.write(head + said)
        self._take()

    def _log(self, *, cut: bool) -> str:
        """Write it down; what is to be answered."""
        request, ended = self._request, time.monotonic()
        assert request is not None
        if request.target == STEP:
            told = json.loads(request.body)
            tenants = () if told["tenants"] == "all" else tuple(told["tenants"])
            switch = told["switch"]
            self._logged.write(
                Step(switch=switch, tenants=tenants, began=self._began, ended=ended, cut=cut)
            )
            return ""
        name, tenant = (request[each].decode() for each in ("X-Id", "X-Tenant-ID"))
        self._logged.write(
            Served(
                id=name,
                tenant=tenant,
                method=request.method.decode(),
                slot=self._slot,
                began=self._began,
                ended=ended,
                cut=cut,
            )
        )
        return f"{name} {tenant} {self._slot}"


async def listening(
    slot: str, logged: Logged, host: str = "127.0.0.1"
) -> tuple[asyncio.Server, int]:
    """Start the endpoint of a slot; its server and its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(slot, logged), host, 0)
    return server, server.sockets[0].getsockname()[1]
