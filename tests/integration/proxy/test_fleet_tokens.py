"""Tokens by fetched keys, in a running fleet: rotation without a restart, and servers that fail.

`acme` is pinned to green and everyone else goes to blue, so the slot tells who was understood.
"""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.routing.change import Pin
from proxy.routing.model import Slot
from tests.support.clients import Answer, Connection
from tests.support.fleet import Fleet, FleetOf, Routing
from tests.support.key_server import KeyServer, document, key_server
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, jwk, jwks, token

A, B = jwk("ES256", "a"), jwk("ES256", "b", 1)
SOON = {"refresh_s": 0.1, "retry_s": 0.1, "unknown_key_s": 0.1}


def bearer(kid: str, number: int = 0, **claims: Any) -> str:
    return f"Bearer {token('ES256', kid, number, **claims).decode()}"


BY_A, BY_B = bearer("a"), bearer("b", 1)


def told(answer: Answer) -> tuple[int, str]:
    """Status, and the slot or the problem's code."""
    return answer.status, answer.slot or answer.json["code"]


GREEN, REFUSED, KEYLESS = (200, "green"), (401, "bad-token"), (503, "no-token-keys")


@pytest.fixture
async def keys() -> AsyncIterator[KeyServer]:
    async with key_server() as started:
        started.reply = document(jwks(A))
        yield started


def identity(keys: KeyServer, **jwks: Any) -> dict[str, Any]:
    """The settings: one issuer with fetched keys, one with a secret and tenants of its own."""
    fetched = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "algorithms": ["ES256"],
        "jwks_url": keys.url,
    }
    partner = {
        "issuer": "partner",
        "audiences": [AUDIENCE],
        "algorithms": ["HS256"],
        "key": SECRET,
        "tenant_pattern": "partner-[a-z]+",
    }
    return {"issuers": [fetched, partner], "jwks": {**SOON, **jwks}}


async def pinned(fleet: Fleet, routing: Routing) -> None:
    version = await routing.change(Pin("acme", Slot.GREEN), Pin("partner-one", Slot.GREEN))
    await routing.acked(version, fleet.workers_wanted)


async def all_say(
    fleet: Fleet, connections: list[Connection], value: str, wanted: tuple[int, str]
) -> None:
    """Wait until every connection, so every worker, answers this token so."""

    async def met() -> bool:
        answers = [await each.get(authorization=value) for each in connections]
        return all(told(answer) == wanted for answer in answers)

    await fleet.child.until(met, f"answered {wanted}")


async def test_keys_rotate_in_running_workers(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    fleet = await fleet_of(identity=identity(keys))
    await pinned(fleet, routing)
    workers = await fleet.pids()
    connections = await fleet.connections(each=1)
    assert [told(await each.get(authorization=BY_A)) for each in connections] == [GREEN] * 2
    assert [told(await each.get(authorization=BY_B)) for each in connections] == [REFUSED] * 2
    keys.reply = document(jwks(A, B))
    await all_say(fleet, connections, BY_B, GREEN)
    assert [told(await each.get(authorization=BY_A)) for each in connections] == [GREEN] * 2
    # Believed on these very connections, and no longer once its key is gone.
    keys.reply = document(jwks(B))
    await all_say(fleet, connections, BY_A, REFUSED)
    assert [told(await each.get(authorization=BY_B)) for each in connections] == [GREEN] * 2
    # The server goes: what is known stays.
    await keys.stop()
    metrics = await fleet.metrics_until(
        lambda found: found.value("turnout_jwks_failing", issuer=ISSUER) == 2,
        "both workers' fetches fail",
    )
    assert metrics.value("turnout_jwks_failures_total", issuer=ISSUER) >= 2
    assert metrics.value("turnout_refused_tokens_total", reason="key") >= 4
    assert [told(await each.get(authorization=BY_B)) for each in connections] == [GREEN] * 2
    assert await fleet.pids() == workers
    for connection in connections:
        await connection.close()
    log = fleet.child.output()
    assert BY_A.removeprefix("Bearer ") not in log
    assert A["x"] not in log


async def test_without_keys_tokens_wait_and_others_do_not(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    await keys.stop()
    fleet = await fleet_of(identity=identity(keys))
    await pinned(fleet, routing)
    connections = await fleet.connections(each=1)
    for each in connections:
        answer = await each.get(authorization=BY_A)
        assert told(answer) == KEYLESS
        assert int(answer.fields["retry-after"]) > 0
        assert told(await each.get(tenant="acme")) == GREEN
        assert told(await each.get(authorization=bearer("a", aud="other"))) == REFUSED
    await keys.start()
    await all_say(fleet, connections, BY_A, GREEN)
    for each in connections:
        await each.close()


async def test_a_worker_takes_connections_with_its_keys_loaded(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    """So that a reload costs no token a 503."""
    fleet = await fleet_of(identity=identity(keys))
    await pinned(fleet, routing)
    old = await fleet.pids()
    fleet.settings.write()
    fleet.child.send(signal.SIGHUP)
    await fleet.child.line("settings reloaded")
    await fleet.serving(unlike=old)
    for _ in range(10):
        assert told(await fleet.get(authorization=BY_A)) == GREEN


async def test_an_issuer_names_its_own_tenants_only(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    fleet = await fleet_of(identity=identity(keys))
    await pinned(fleet, routing)

    def partner(tenant: str) -> str:
        return f"Bearer {token(iss='partner', tenant=tenant).decode()}"

    assert told(await fleet.get(authorization=partner("partner-one"))) == GREEN
    assert told(await fleet.get(authorization=partner("acme"))) == REFUSED
    assert told(await fleet.get(authorization=f"Bearer {token().decode()}")) == REFUSED


async def test_a_refusal_asks_for_a_token(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    settings = {**identity(keys), "unidentified": "refuse"}
    fleet = await fleet_of(identity=settings)
    await pinned(fleet, routing)
    bad = await fleet.get(authorization=bearer("a", exp=1))
    assert bad.fields["www-authenticate"] == 'Bearer error="invalid_token"'
    assert bad.json["detail"] == "the token has expired"
    none = await fleet.get()
    assert told(none) == (401, "unidentified")
    assert none.fields["www-authenticate"] == "Bearer"


async def test_a_token_in_the_query_or_a_cookie_is_ignored(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    fleet = await fleet_of(identity=identity(keys))
    await pinned(fleet, routing)
    good = BY_A.removeprefix("Bearer ")
    for path in (f"/?access_token={good}", f"/?token={good}", f"/?authorization=Bearer%20{good}"):
        assert told(await fleet.get(path)) == (200, "blue")
    assert told(await fleet.get(cookie=f"token={good}; Authorization={good}")) == (200, "blue")


async def test_an_unknown_tenant_of_a_good_token_is_403(
    fleet_of: FleetOf, routing: Routing, keys: KeyServer
) -> None:
    fleet = await fleet_of(identity={**identity(keys), "unknown_tenants": "refuse"})
    await pinned(fleet, routing)
    assert told(await fleet.get(authorization=BY_A)) == GREEN
    other = bearer("a", tenant="nobody")
    assert told(await fleet.get(authorization=other)) == (403, "unknown-tenant")
