"""The settings of the [admin] section, each with its unit, its default and its bounds."""

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from admin.login.config import Login, Oidc, check_public_url
from config import split_address

_OTHERS_AT_ONCE = 6  # a drain for each slot, the census, a ramp, a release, one that waits for it
MIN_SECRET_BYTES = 32
"""A shorter HS256 key than its digest weakens the signature (RFC 7518, section 3.2)."""

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Level = Literal["debug", "info", "warning", "error"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one admin process is told. Names end in their unit; all lists are bounded by memory."""

    listen: str = "127.0.0.1:8081"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    token_secret: str = ""
    token_leeway_s: Annotated[float, Meta(ge=0, le=300)] = 60.0
    token_memory: Positive = 4096
    failed_tokens_per_minute: Positive = 20
    body_limit_bytes: Positive = 4_194_304
    body_timeout_s: Seconds = 30.0
    ack_timeout_ms: Annotated[int, Meta(ge=0, le=60_000)] = 5000
    shutdown_timeout_s: Seconds = 5.0
    database_pool_min: Positive = 2
    database_pool_max: Positive = 12
    database_wait_s: Seconds = 30.0
    database_connect_timeout_s: Seconds = 3.0
    database_lock_timeout_s: Seconds = 3.0
    database_statement_timeout_s: Seconds = 10.0
    redis_timeout_s: Seconds = 1.0
    reconcile_interval_s: Seconds = 0.5
    log_entries: Annotated[int, Meta(ge=10, le=100_000)] = 1000
    worker_forget_s: Seconds = 60.0
    idempotency_hours: Positive = 24
    events_queue: Positive = 256
    events_clients: Positive = 64
    events_heartbeat_s: Seconds = 15.0
    board_look_s: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    whatif_portion: Positive = 500
    endpoint_networks: tuple[str, ...] = ()
    switch_timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 20_000
    switch_close_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 1000.0
    switch_silent_s: Seconds = 2.0
    switches_at_once: Positive = 4
    drain_limit_s: Seconds = 600.0
    drain_hurry_s: Seconds = 10.0
    drain_webhook_s: Seconds = 10.0
    census_look_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    census_wait_s: Seconds = 900.0
    census_devices: Annotated[int, Meta(ge=1, le=200_000)] = 20_000
    steps: dict[str, tuple[str, ...]] = {}
    step_urls: tuple[str, ...] = ()
    public_url: str = ""
    environment: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,63}(?!\n)$")] = "production"
    login: Login = Login()
    oidc: Oidc = Oidc()
    log_level: Level = "info"

    def __post_init__(self) -> None:
        _checked("listen", lambda: split_address(self.listen))
        check_public_url(self.public_url)
        for network in self.endpoint_networks:
            _checked("endpoint_networks", lambda text=network: ipaddress.ip_network(text))
        if not all(self.steps.values()):
            raise ValueError("`steps` has the arguments of a command for each name")
        if not all(url.startswith(("http://", "https://")) for url in self.step_urls):
            raise ValueError("`step_urls` begin with http:// or https://")
        if self.switches_at_once + _OTHERS_AT_ONCE >= self.database_pool_max:
            raise ValueError("`switches_at_once` lies more than 6 below `database_pool_max`")
        if self.database_pool_min > self.database_pool_max:
            raise ValueError("`database_pool_min` lies above `database_pool_max`")

    def __repr__(self) -> str:
        """Without the secret: settings may end up in a traceback."""
        return f"<Settings listen={self.listen!r}>"

    def secret_fault(self) -> str:
        """Why the token secret can't be used, empty if it can. Never shows the secret."""
        if not self.token_secret:
            return "the admin refuses to run without a token secret"
        if len(self.token_secret.encode()) < MIN_SECRET_BYTES:
            return f"the admin refuses to run with a token secret under {MIN_SECRET_BYTES} bytes"
        return ""


def _checked(name: str, parse: object) -> None:
    assert callable(parse)  # noqa: S101 - only this file calls it
    try:
        parse()
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None
