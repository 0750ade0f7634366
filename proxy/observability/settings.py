"""Settings of what is told of requests: [proxy.access_log], [proxy.metrics], [proxy.tracing]."""

from typing import Literal

import msgspec

from config import is_field_name
from proxy.routing import windows


class AccessLogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of each request."""

    format: Literal["off", "json", "combined"] = "off"
    path: str = ""
    sample: float = 1.0
    query: bool = False
    buffer_bytes: int = 1024 * 1024
    flush_s: float = 1.0
    close_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError("`access_log.sample` is a share, 0 to 1")
        if not 16 * 1024 <= self.buffer_bytes <= 1 << 28:
            raise ValueError("`access_log.buffer_bytes` lies between 16 KiB and 256 MiB")
        if not 0 < self.flush_s <= 60:
            raise ValueError("`access_log.flush_s` lies above 0 and at most a minute")
        if not 0 < self.close_s <= 4:
            raise ValueError("`access_log.close_s` lies above 0 and at most at 4")


MAX_TENANTS = 100
MAX_TRAFFIC_TENANTS = 100_000


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted beside the slots and cohorts."""

    tenants: int = 20
    traffic_s: float = 10.0
    traffic_tenants: int = 1_000
    windows_s: int = 1
    windows_kept_s: int = 3_600
    windows_tenants: int = 50

    def __post_init__(self) -> None:
        if self.windows_s not in {0, 1}:
            raise ValueError("`metrics.windows_s` is 0 (off) or 1")
        if not 60 <= self.windows_kept_s <= 86_400:
            raise ValueError("`metrics.windows_kept_s` lies between a minute and a day")
        if not 0 <= self.windows_tenants <= windows.MAX_TENANTS:
            most = windows.MAX_TENANTS
            raise ValueError(f"`metrics.windows_tenants` lies between 0 and {most}")
        if not 0 <= self.tenants <= MAX_TENANTS:
            raise ValueError(f"`metrics.tenants` lies between 0 and {MAX_TENANTS}")
        if self.traffic_s and not 0.1 <= self.traffic_s <= 60:
            raise ValueError("`metrics.traffic_s` is 0 (off), or lies between 0.1 and 60")
        if not 1 <= self.traffic_tenants <= MAX_TRAFFIC_TENANTS:
            raise ValueError(f"`metrics.traffic_tenants` lies between 1 and {MAX_TRAFFIC_TENANTS}")


class Tracing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The trace context of requests, and what an answer says of its time."""

    traceparent: Literal["pass", "begin", "off"] = "pass"
    server_timing: Literal["off", "asked", "always"] = "off"
    timing_header: str = "X-Turnout-Timing"

    def __post_init__(self) -> None:
        if not is_field_name(self.timing_header):
            raise ValueError("`tracing.timing_header` is a field name of letters, digits and -")
