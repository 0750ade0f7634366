"""nginx with Lua, the routes in Redis: each request asks for its own (nothing is cached).

Its ack is Redis' answer to SET: the next request reads it. So an ack is all that a switch takes, and
every request pays for it with a question to Redis, without which none is served. A cache in the
workers would save that, and make acks untrue for as long as it keeps a route.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from redis import Redis, RedisError

from admin.embedded import EmbeddedRedis, EmbeddedServerError
from bench import nginx
from bench.processes import free_ports, running, wait_until_listening
from bench.switch.contenders.contender import ALL, Site, SwitchError, as_start_error
from bench.switch.contenders.nginx_reload import PROXYING, UPGRADED, VARIABLE, upstreams
from proxy.routing.model import Slot

MODULES = tuple(
    Path("/usr/lib/nginx/modules") / name
    for name in ("ndk_http_module.so", "ngx_http_lua_module.so")
)
CLIENT = Path("/usr/share/lua/5.1/nginx/redis.lua")
PACKAGES = "libnginx-mod-http-lua lua-nginx-redis"
PREFIX = "route:"
STORE_MS = 1_000
IDLE_MS, IDLE_CONNECTIONS = 60_000, 256


def configuration(site: Site, port: int, store: str) -> str:
    """The http section. store: Redis' URL, a secret."""
    at = urlsplit(store)
    return f"""{UPGRADED}
{upstreams(site)}
    lua_package_path "/usr/share/lua/5.1/?.lua;;";
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $slot "";
            access_by_lua_block {{
                local store = require("nginx.redis"):new()
                store:set_timeout({STORE_MS})
                local ok, fault = store:connect("127.0.0.1", {at.port})
                if ok and store:get_reused_times() == 0 then
                    ok, fault = store:auth("{unquote(at.password or "")}")
                end
                if not ok then
                    ngx.log(ngx.ERR, fault)
                    return ngx.exit(503)
                end
                local own = "{PREFIX}" .. (ngx.var.http_{VARIABLE} or "")
                local found, fault = store:mget(own, "{PREFIX}{ALL}")
                if not found then
                    ngx.log(ngx.ERR, fault)
                    return ngx.exit(503)
                end
                store:set_keepalive({IDLE_MS}, {IDLE_CONNECTIONS})
                ngx.var.slot = found[1] ~= ngx.null and found[1] or found[2]
            }}
            {PROXYING}
        }}
    }}
"""


class Running:
    """An nginx that runs, and its Redis."""

    def __init__(self, port: int, store: "Redis") -> None:
        self.port = port
        self._store = store

    def switch(self, to: Slot, tenant: str | None) -> None:
        """Set the route."""
        try:
            self._store.set(f"{PREFIX}{tenant or ALL}", str(to))
        except RedisError as error:
            raise SwitchError(repr(error)) from error

    def drain(self, slot: Slot) -> None:
        """WebSockets stay where they are."""


class NginxLua:
    """nginx that reads Redis for each request."""

    name = "nginx-lua"
    title = "nginx, Lua and Redis"
    ack = "Redis has answered SET"
    tools: Mapping[str, str] = {"nginx": "nginx"}

    def missing(self) -> str | None:
        """The module and the client, where Debian has them."""
        absent = [str(path) for path in (*MODULES, CLIENT) if not path.exists()]
        return f"{absent[0]} is not here (apt-get install {PACKAGES})" if absent else None

    def version(self) -> str:
        """As nginx says it."""
        return f"{nginx.version()}, asked for each request"

    @contextmanager
    def serving(self, site: Site) -> Iterator[Running]:
        """Redis with the routes, and nginx."""
        site.folder.mkdir(mode=0o700)  # the configuration holds Redis' password
        server = EmbeddedRedis(site.folder / "redis")
        with as_start_error(EmbeddedServerError):
            server.start()
        try:
            with Redis.from_url(server.url) as store, self._started(site, server.url) as port:
                store.mset({f"{PREFIX}{name}": str(slot) for name, slot in site.routes().items()})
                yield Running(port, store)
        finally:
            server.stop()

    @contextmanager
    def _started(self, site: Site, url: str) -> Iterator[int]:
        (port,) = free_ports(1)
        folder, connections = site.folder / "nginx", 4 * site.connections + nginx.CONNECTIONS
        http = configuration(site, port, url)
        argv = nginx.prepare(http, folder, connections, site.workers, MODULES)
        with running(argv, None, folder) as process:
            wait_until_listening(process, port, folder)
            yield port
