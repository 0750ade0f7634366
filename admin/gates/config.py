"""The settings of [releases.gates], each with its unit, its default and its bounds."""

from typing import Annotated

import msgspec
from msgspec import Meta

from admin.config import Positive, Seconds
from admin.gates.pointer import is_pointer
from admin.gates.settle import Wanted
from admin.migrations.references import is_reference

Ratio = Annotated[float, Meta(ge=1, le=100)]


def _parts() -> dict[str, tuple[str, ...]]:
    return {"/status": ("healthy", "ok"), "/database": ("ok",), "/cache": ("ok", "disabled")}


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How gates ask endpoints, which they do directly, past the proxy."""

    scheme: str = "http"
    host: str = ""
    ca_file: str = ""
    server_name: str = ""
    tenant_header: str = "X-Tenant-ID"
    at_once: Annotated[int, Meta(ge=1, le=256)] = 8
    body_bytes: Positive = 1_048_576
    tenants: Annotated[int, Meta(ge=1, le=10_000)] = 100

    def __post_init__(self) -> None:
        if self.scheme not in {"http", "https"}:
            raise ValueError("`scheme` is http or https")


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the health document of every endpoint of standby has to say, by JSON pointer."""

    path: str = "/health"
    timeout_s: Seconds = 5.0
    limit_s: Seconds = 30.0
    version: str = "/version"
    environment: str = "/environment"
    environment_is: str = "{slot}"
    parts: dict[str, tuple[str, ...]] = msgspec.field(default_factory=_parts)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError("`path` begins with /")
        for name in ("version", "environment"):
            if not is_pointer(getattr(self, name)):
                raise ValueError(f"`{name}` is a JSON pointer, as /{name}; empty: not compared")
        if not all(pointer and is_pointer(pointer) for pointer in self.parts):
            raise ValueError("`parts` has a JSON pointer for each part, as /database")


class WarmUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that are sent to standby until its latency settles."""

    file: str = ""
    sample_file: str = ""
    sample_requests: Annotated[int, Meta(ge=1, le=1000)] = 50
    batch: Annotated[int, Meta(ge=1, le=1000)] = 20
    requests: Annotated[int, Meta(ge=1, le=1_000_000)] = 5000
    per_s: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    timeout_s: Seconds = 10.0
    limit_s: Seconds = 300.0
    settle_batches: Annotated[int, Meta(ge=2, le=100)] = 3
    settle_within_percent: Annotated[float, Meta(gt=0, le=1000)] = 20.0
    settle_near_ms: Annotated[float, Meta(ge=0)] = 1.0
    settle_below_ms: Annotated[float, Meta(gt=0)] = 500.0

    @property
    def wanted(self) -> Wanted:
        """What the settings call settled."""
        return Wanted(
            self.settle_batches,
            self.settle_within_percent / 100,
            self.settle_below_ms,
            self.settle_near_ms,
        )


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list of checks: the smoke tests, or the integration tests."""

    file: str = ""
    limit_s: Seconds = 600.0


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether both versions are served by every tenant's schema. applies: there are schemas to ask of."""

    applies: bool = True
    limit_s: Seconds = 30.0


class Performance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same requests to standby and active in turns. file: empty, those of the warm-up."""

    file: str = ""
    rounds: Annotated[int, Meta(ge=10, le=10_000)] = 40
    least_rounds: Annotated[int, Meta(ge=10, le=10_000)] = 20
    fail_above: Ratio = 1.5
    warn_above: Ratio = 1.2
    slower_ms: Annotated[float, Meta(ge=0)] = 1.0
    confidence: Annotated[float, Meta(ge=0.5, lt=1)] = 0.99
    timeout_s: Seconds = 10.0
    limit_s: Seconds = 300.0

    def __post_init__(self) -> None:
        if self.warn_above > self.fail_above:
            raise ValueError("`warn_above` lies above `fail_above`")
        if self.least_rounds > self.rounds:
            raise ValueError("`least_rounds` lies above `rounds`")


class Replication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a replica or a subscriber is behind. url: where the server's URL stands; empty: no link."""

    url: str = ""
    links: Annotated[int, Meta(ge=1, le=1000)] = 1
    lag_s: Annotated[float, Meta(ge=0)] = 5.0
    lag_bytes: Annotated[int, Meta(ge=0)] = 16_777_216
    look_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    wait_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    connect_timeout_s: Seconds = 3.0
    limit_s: Seconds = 15.0

    def __post_init__(self) -> None:
        if self.url and not is_reference(self.url):
            raise ValueError("`url` names where the URL stands: env:NAME, or file:/path")


class Census(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether all equipment is connected. applies: there is equipment. expected: 0, as many as before."""

    applies: bool = True
    expected: Annotated[int, Meta(ge=0)] = 0
    missing: Annotated[int, Meta(ge=0)] = 0
    wait_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    look_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.5
    limit_s: Seconds = 30.0


class Drill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether going back was tried lately."""

    days: Annotated[float, Meta(gt=0, le=3660)] = 90.0
    limit_s: Seconds = 10.0


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of Turnout itself: its workers, and its slots' endpoints."""

    limit_s: Seconds = 10.0


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[releases.gates]. checklist: a file in place of the one that comes with Turnout."""

    checklist: str = ""
    at_once: Annotated[int, Meta(ge=1, le=64)] = 4
    http: Http = Http()
    health: Health = Health()
    warm_up: WarmUp = WarmUp()
    smoke: Checks = Checks()
    integration: Checks = Checks()
    schema: Schema = Schema()
    performance: Performance = Performance()
    replication: Replication = Replication()
    census: Census = Census()
    drill: Drill = Drill()
    fleet: Fleet = Fleet()

    def not_applicable(self) -> frozenset[str]:
        """The gates for which these settings say that there is nothing to measure."""
        found = {
            "replication-lag": not self.replication.url,
            "census": not self.census.applies,
            "schema": not self.schema.applies,
        }
        return frozenset(name for name, applies_not in found.items() if applies_not)
