"""What the handlers of one instance share, and how they reach it."""

import asyncio
from dataclasses import dataclass, field
from weakref import WeakSet

from aiohttp import web

from examples.print_erp.cache import Cache
from examples.print_erp.faults import FaultInjection
from examples.print_erp.press import Press
from examples.print_erp.settings import Settings
from examples.print_erp.store import Store
from examples.print_erp.traffic import Traffic


@dataclass(slots=True)
class Erp:
    """One running instance. `stopping` is set once, when SIGTERM has come."""

    settings: Settings
    store: Store
    cache: Cache
    press: Press
    traffic: Traffic
    faults: FaultInjection = field(default_factory=FaultInjection)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sockets: WeakSet[web.WebSocketResponse] = field(default_factory=WeakSet)
    printers: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Open equipment sockets: connection id -> (tenant, printer)."""


ERP = web.AppKey("ERP", Erp)
TENANT = web.RequestKey("TENANT", str)


def erp_of(request: web.Request) -> Erp:
    """The instance that serves this request."""
    return request.app[ERP]


def tenant_of(request: web.Request) -> str:
    """The tenant that the proxy named; the guard has checked it."""
    return request[TENANT]
