"""The settings of the [migrations] section, each with its unit, its default and its bounds."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from admin.config import Level, Positive, Seconds
from admin.migrations.references import is_reference

TENANT = "{tenant}"
"""What stands for the tenant's id in the patterns of schemas and databases."""
_NAME = re.compile(r"[a-z0-9_.-]{1,63}")
Layout = Literal["shared", "schema", "database"]


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One database server. url: where its URL stands, `env:NAME` or `file:/path`; never the URL.

    at_once: how many of its targets are migrated at a time, by all workers together.
    """

    url: str
    at_once: Annotated[int, Meta(ge=1, le=1000)] = 4

    def __post_init__(self) -> None:
        if not is_reference(self.url):
            raise ValueError("`url` names where the URL stands: env:NAME, or file:/path")


class Explicit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target that no pattern gives, or another place for one that a pattern gives.

    tenant: whose it is; empty: it is shared by all. database: empty, the one of the server's URL.
    """

    name: str
    server: str
    schema: str = "public"
    database: str = ""
    tenant: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What admins and workers are told of migrations. Names end in their unit."""

    folder: str = "migrations"
    layout: Layout = "shared"
    server: str = "main"
    database: str = ""
    schema: str = "public"
    extra_schemas: tuple[str, ...] = ()
    create_schemas: bool = False
    servers: dict[str, Server] = {}
    targets: tuple[Explicit, ...] = ()
    lock_timeout_s: Seconds = 2.0
    concurrent_lock_timeout_s: Seconds = 60.0
    statement_timeout_s: Seconds = 600.0
    connect_timeout_s: Seconds = 5.0
    tries: Positive = 10
    backoff_s: Seconds = 0.5
    backoff_max_s: Seconds = 30.0
    deaths: Positive = 5
    lease_s: Annotated[float, Meta(ge=0.5, le=3600)] = 15.0
    look_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.25
    jobs_at_once: Annotated[int, Meta(ge=1, le=64)] = 4
    idle_connections: Annotated[int, Meta(ge=0, le=1000)] = 8
    drain_s: Seconds = 30.0
    backfill_rows_per_s: Annotated[float, Meta(gt=0)] = 5000.0
    backfill_lag_s: Seconds = 5.0
    backfill_active: Annotated[int, Meta(ge=0)] = 0
    backfill_pause_s: Seconds = 1.0
    log_level: Level = "info"

    def __post_init__(self) -> None:
        if self.layout == "schema" and TENANT not in self.schema:
            raise ValueError(f"`schema` needs {TENANT} where each tenant has a schema")
        if self.layout == "database" and TENANT not in self.database:
            raise ValueError(f"`database` needs {TENANT} where each tenant has a database")
        if self.layout == "shared" and TENANT in self.schema + self.database:
            raise ValueError(f"`layout` says that all share one schema: no {TENANT} in its name")
        self._check_places()
        if self.backoff_s > self.backoff_max_s:
            raise ValueError("`backoff_s` lies above `backoff_max_s`")

    def _check_places(self) -> None:
        """What goes with which server."""
        for name in self.servers:
            if not _NAME.fullmatch(name):
                raise ValueError("`servers` have names of at most 63 of a-z, 0-9, _, . and -")
        for target in self.targets:
            if not _NAME.fullmatch(target.name):
                raise ValueError("`targets` have names of at most 63 of a-z, 0-9, _, . and -")
            if target.server not in self.servers:
                raise ValueError("`targets`: each names one of `servers`")
        if self.servers and self.server not in self.servers and not self.targets:
            raise ValueError("`server` is one of `servers`")
