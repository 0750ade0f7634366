"""The same work for all: asked of each proxy before anything is measured.

A proxy that leaves out the look-up, the header fields or the keep-alive would win by it.
"""

import http.client
import json
from collections.abc import Mapping

from bench.endpoint import HEADERS_PATH
from bench.peers.peer import Proxy
from bench.scenarios.scenario import TENANT_HEADER
from proxy.routing.model import Slot

SAMPLE = 20
"""How many tenants are asked for."""


class CheckError(Exception):
    """A proxy doesn't do the work that is measured; the message says which part."""


def same_work(proxy: Proxy, pins: Mapping[str, Slot]) -> None:
    """Ask for a sample of tenants on one connection. CheckError names what is missing."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    try:
        step = max(1, len(pins) // SAMPLE) | 1
        seen = [
            _ask(connection, proxy, tenant, slot) for tenant, slot in list(pins.items())[::step]
        ]
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CheckError(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()
    if len(set(seen)) != len(seen):
        raise CheckError(f"{proxy.name} gives two requests one X-Request-ID")


def _ask(connection: http.client.HTTPConnection, proxy: Proxy, tenant: str, slot: Slot) -> str:
    connection.request("GET", HEADERS_PATH, headers={TENANT_HEADER: tenant})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise CheckError(f"{proxy.name} answered {answer.status} for {tenant}")
    if connection.sock is None:
        raise CheckError(f"{proxy.name} closed the connection after one request")
    arrived = json.loads(body)
    wanted = {"slot": slot, "tenant": tenant, "protocol": "HTTP/1.1"}
    for field, value in wanted.items():
        if arrived[field] != value:
            raise CheckError(f"{proxy.name}: {field} is {arrived[field]!r}, not {value!r}")
    for field in ("forwarded_for", "request_id"):
        if not arrived[field]:
            raise CheckError(f"{proxy.name} does not send {field.replace('_', '-')} upstream")
    if arrived["connection"] == "close":
        raise CheckError(f"{proxy.name} closes its upstream connections")
    return str(arrived["request_id"])
