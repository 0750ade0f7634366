"""All contenders, by the names that options take. A new one is one file and one line."""

from collections.abc import Mapping

from bench.switch.contenders.contender import Contender
from bench.switch.contenders.haproxy import HAProxy
from bench.switch.contenders.nginx_lua import NginxLua
from bench.switch.contenders.nginx_reload import NginxReload
from bench.switch.contenders.turnout import Turnout

OWN = "turnout"
OWNS = (OWN, "turnout-compiled")
RELOAD = "nginx-reload"
_ALL: tuple[Contender, ...] = (
    Turnout(),
    Turnout(compiled=True),
    HAProxy(),
    NginxLua(),
    HAProxy(reload=True),
    NginxReload(),
)
CONTENDERS: Mapping[str, Contender] = {each.name: each for each in _ALL}


def choose(only: frozenset[str]) -> list[Contender]:
    """Those named, or all. ValueError on an unknown name."""
    unknown = only - CONTENDERS.keys()
    if unknown:
        raise ValueError(
            f"no contender is called {min(unknown)}; there are {', '.join(CONTENDERS)}"
        )
    return [each for name, each in CONTENDERS.items() if not only or name in only]
