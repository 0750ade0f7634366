"""The settings of the [monitor] section, each with its unit, its default and its bounds."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from admin.config import Positive, Seconds
from admin.migrations.references import is_reference

Share = Annotated[float, Meta(gt=0, lt=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Percents = Annotated[float, Meta(gt=0, le=10_000)]
Millis = Annotated[float, Meta(gt=0, le=600_000)]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class SignalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A figure from elsewhere. query: of Prometheus, giving one number; empty: it is pushed.

    is_bad: on which side of its thresholds it is bad. for_s: how long it must be so, in seconds. stale_s:
    how old it may be. required: whether it counts as unmeasured before it was ever given. worst: what
    it can make of a release; critical rolls it back. leak: whether it is also watched for growing
    without the requests growing, as connections do that are never closed.
    """

    name: str
    warning: float
    critical: float
    unit: str = ""
    is_bad: Literal["above", "below"] = "above"
    query: str = ""
    for_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    stale_s: Seconds = 60.0
    required: bool = False
    worst: Literal["warning", "critical"] = "critical"
    leak: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("`name` is 1 to 63 of a-z, 0-9 and -")
        first, last = sorted((self.warning, self.critical), reverse=self.is_bad == "below")
        if (first, last) != (self.warning, self.critical):
            raise ValueError("`warning` is reached before `critical`")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one admin is told of watching a release. Names end in their unit."""

    alpha: Share = 0.001
    alpha_warning: Share = 0.05
    minimum_sample: Positive = 30
    seconds_least: Annotated[int, Meta(ge=1, le=60)] = 3
    slower_seconds_least: Annotated[int, Meta(ge=1, le=60)] = 5
    grace_s: Annotated[float, Meta(ge=0, le=600)] = 1.0
    warm_up_s: Annotated[float, Meta(ge=0, le=3600)] = 3.0
    error_rate_up_points: Percent = 1.0
    error_rate_tolerated_points: Percent = 0.25
    error_rate_warning_percent: Percent = 0.5
    error_rate_critical_percent: Percent = 1.0
    slower_critical_percent: Percents = 50.0
    slower_tolerated_percent: Percents = 25.0
    slower_least_ms: Annotated[float, Meta(ge=0, le=600_000)] = 10.0
    response_warning_ms: Millis = 200.0
    response_critical_ms: Millis = 500.0
    connect_failures_percent: Percent = 1.0
    endpoints_least_percent: Percent = 50.0
    endpoints_lost_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    leak_growth_percent: Percents = 100.0
    leak_connections: Positive = 50
    equipment_grace_s: Annotated[float, Meta(ge=0, le=86_400)] = 5.0
    equipment_return_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    equipment_warning: Positive = 1
    equipment_critical: Positive = 2
    equipment_critical_percent: Percent = 5.0
    tenant_errors_up_points: Percent = 5.0
    tenant_failures: Positive = 10
    tenant_bunch: Annotated[float, Meta(ge=1, le=100)] = 2.0
    tenants: Annotated[int, Meta(ge=1, le=100_000)] = 500
    span_s: Annotated[int, Meta(ge=10, le=600)] = 60
    stale_s: Annotated[float, Meta(gt=0, le=600)] = 5.0
    settle_s: Annotated[float, Meta(ge=0, le=60)] = 1.5
    look_s: Annotated[float, Meta(ge=0.05, le=60)] = 0.25
    rebuild_s: Annotated[int, Meta(ge=10, le=86_400)] = 600
    history: Annotated[int, Meta(ge=1, le=100_000)] = 500
    prometheus_url: str = ""
    prometheus_bearer: str = ""
    prometheus_interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    prometheus_timeout_s: Seconds = 2.0
    prometheus_limit_bytes: Annotated[int, Meta(ge=1024, le=1 << 24)] = 65_536
    signals: tuple[SignalSettings, ...] = (
        SignalSettings("database-cpu", 70.0, 85.0, "%"),
        SignalSettings("failed-logins", 10.0, 50.0, "a minute", worst="warning"),
    )

    def __post_init__(self) -> None:
        for name in ("prometheus_url", "prometheus_bearer"):
            reference = getattr(self, name)
            if reference and not is_reference(reference):
                raise ValueError(f"`{name}` names where it stands: env:NAME, or file:/path")
        names = [signal.name for signal in self.signals]
        if len(set(names)) != len(names):
            raise ValueError("`signals` have names of their own")
        if any(signal.query for signal in self.signals) and not self.prometheus_url:
            raise ValueError("`signals` with a `query` need `prometheus_url`")
        for low, high in (
            ("alpha", "alpha_warning"),
            ("error_rate_tolerated_points", "error_rate_up_points"),
            ("error_rate_warning_percent", "error_rate_critical_percent"),
            ("slower_tolerated_percent", "slower_critical_percent"),
            ("response_warning_ms", "response_critical_ms"),
            ("equipment_warning", "equipment_critical"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"`{low}` lies above `{high}`")
