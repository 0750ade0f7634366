"""What workers are started with: the settings, after a look at what there is room for."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from config import Shared
from proxy.config import Follow, Settings
from proxy.observability import telemetry
from proxy.supervision import files, listening
from proxy.tls.certificates import Certificates
from proxy.tls.endpoints import EndpointSecurity, endpoint_security
from proxy.tokens import issuers

Load = Callable[[], tuple[Shared, Settings]]


@dataclass(frozen=True, slots=True)
class Plan:
    """advice: what to change so that all of it can be used.

    certificates, endpoints: what TLS needs, loaded before the workers are forked.
    """

    shared: Shared
    settings: Settings
    advice: str
    certificates: Certificates | None
    endpoints: EndpointSecurity | None

    @classmethod
    def of(cls, load: Load, files_limit: int) -> "Plan":
        """The settings, with as many connections as there are files for. ConfigError."""
        shared, settings = load()
        settings, advice = files.fitted(settings, files_limit)
        issuers.prepare(settings.identity)
        certificates = Certificates(settings.tls) if settings.tls_listen else None
        endpoints = endpoint_security(settings.endpoint_tls)
        return cls(shared, settings, advice, certificates, endpoints)

    @property
    def workers(self) -> int:
        """How many workers there are to be."""
        return self.settings.worker_count()

    def status(self) -> str:
        """What the service is told of while they serve."""
        return f"serving with {self.workers} workers"

    def addresses(self) -> dict[str, str]:
        """Where to listen, by name."""
        return {each.name: each.address for each in listening.wanted(self.settings)}

    def routing(self) -> tuple[Shared, Follow]:
        """Where the routing comes from, and how it is followed."""
        return self.shared, self.settings.follow

    def note(self, cells: "memoryview[int]", files_limit: int) -> None:
        """Show in the supervisor's cells that this is in use from now on."""
        now = int(time.time())  # noqa: TID251 - shown
        cells[telemetry.STARTED_S] = cells[telemetry.STARTED_S] or now
        cells[telemetry.SETTINGS_LOADED] += 1
        cells[telemetry.FILES_LIMIT] = files_limit
        cells[telemetry.CONNECTIONS_LIMIT] = self.settings.limits.connections
