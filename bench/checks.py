"""The same work for all: asked of each proxy before anything is measured.

A proxy that leaves out the look-up, the header fields or the keep-alive would win by it.
"""

import http.client
import json

from bench.ask import connect, fields
from bench.credentials import spoilt, tokens
from bench.endpoint import HEADERS_PATH
from bench.peers.peer import Proxy, Site
from proxy.routing.model import Slot

SAMPLE = 20
"""How many tenants are asked for."""


class CheckError(Exception):
    """A proxy doesn't do the work that is measured; the message says which part."""


def same_work(proxy: Proxy, site: Site) -> None:
    """Ask for a sample of tenants on one connection. CheckError names what is missing."""
    connection = connect(proxy.port, tls=site.work.tls)
    try:
        step = max(1, len(site.pins) // SAMPLE) | 1
        asked = list(site.pins.items())[::step]
        seen = [_ask(connection, proxy, site, tenant, slot) for tenant, slot in asked]
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CheckError(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()
    if len(set(seen)) != len(seen):
        raise CheckError(f"{proxy.name} gives two requests one X-Request-ID")


def refuses_spoilt_tokens(proxy: Proxy, site: Site) -> None:
    """CheckError when a token with a wrong signature gets through."""
    (token,) = tokens([next(iter(site.pins))])
    connection = connect(proxy.port, tls=site.work.tls)
    try:
        headers = {"Authorization": f"Bearer {spoilt(token)}"}
        connection.request("GET", HEADERS_PATH, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise CheckError(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()
    if status != 401:
        raise CheckError(f"{proxy.name} answers {status} to a token with a wrong signature")


def _ask(
    connection: http.client.HTTPConnection, proxy: Proxy, site: Site, tenant: str, slot: Slot
) -> str:
    connection.request("GET", HEADERS_PATH, headers=dict(fields(tenant, token=site.work.token)))
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
