"""What a route is, and what its handler gets. The table of all routes is in `app`."""

from asyncio import Lock
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from admin.api.messages import Given
from admin.api.metrics import Metrics
from admin.canary.controller import Ramps
from admin.canary.traffic import LastHour
from admin.census.watch import Rolls
from admin.config import Settings
from admin.drains.controller import Drains
from admin.login.door import Logins
from admin.migrations.config import Settings as MigrationSettings
from admin.migrations.guard import SchemaGuard
from admin.monitor.reading import Windows
from admin.monitor.settings import Settings as MonitorSettings
from admin.monitor.shared import SharedSignals
from admin.releases.config import Settings as ReleaseSettings
from admin.releases.controller import Releases
from admin.routing.audit import Author
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.routing.store import Store
from admin.switches.controller import Switches
from admin.tokens import Principal, Role


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers work with. whatif: held by the what-if that is being worked out."""

    settings: Settings
    control: Control
    hub: Hub
    metrics: Metrics
    switches: Switches
    drains: Drains
    ramps: Ramps
    last_hour: LastHour
    rolls: Rolls
    guard: SchemaGuard
    migrations: MigrationSettings
    releases: Releases
    releasing: ReleaseSettings
    windows: Windows
    signals: SharedSignals
    logins: Logins
    monitoring: MonitorSettings
    whatif: Lock = field(default_factory=Lock)

    @property
    def store(self) -> Store:
        """The desired table."""
        return self.control.store


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way. started: monotonic seconds. raw: the body as it came.

    names: what the path names. keys: each Idempotency-Key that came. Both are told apart from
    `request`, so that the dashboard calls the same handlers.
    """

    request: web.Request
    parts: Parts
    principal: Principal | None
    request_id: str
    started: float
    action: str
    raw: bytes = b""
    names: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[str] = ()

    @property
    def author(self) -> Author:
        """Who asks, for the audit trail."""
        assert self.principal is not None  # noqa: S101 - routes that change have a role
        return Author(self.principal.subject, str(self.principal.role), self.request_id)


Handler = Callable[[Call, Any], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    given: what it takes, in the body (POST, PUT) or the query (GET, DELETE). answer: what a
    success gives, None for what isn't JSON (then media says what it is). role: who may, None
    for everybody. action: its name in the audit trail, empty for what changes nothing.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct] | None
    given: type[Given] = Given
    role: Role | None = Role.VIEWER
    action: str = ""
    media: str = "application/json"

    @property
    def has_body(self) -> bool:
        """Whether it takes a body; otherwise it takes a query."""
        return self.method in {"POST", "PUT"}


def reply(
    document: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """The document as JSON."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        headers=headers,
        content_type="application/json",
    )
