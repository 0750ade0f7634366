"""Who a request belongs to, from the settings on: token, header, subdomain, path.

`acme` is pinned to green and everyone else goes to blue, so the slot tells who was understood.
"""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.routing.change import Pin
from proxy.routing.model import Slot
from tests.support.clients import Answer
from tests.support.fleet import Fleet, FleetOf, Routing

SECRET = "a secret of tests, long enough for HS256"
SOURCES = {"domains": ["erp.test"], "path_prefix": "/t/"}


def tokens(algorithm: str, **key: str) -> dict[str, object]:
    """The settings that verify tokens."""
    return {"algorithms": [algorithm], "issuer": "tests", "audiences": ["erp"], **key}


@pytest.fixture(scope="module")
async def fleet(module_fleet_of: FleetOf, module_routing: Routing) -> Fleet:
    """Trusts its peers; tokens are signed with a shared secret."""
    identity = {**SOURCES, "jwt": tokens("HS256", key=SECRET)}
    started = await module_fleet_of(identity=identity)
    version = await module_routing.change(Pin("acme", Slot.GREEN))
    await module_routing.acked(version, started.workers_wanted)
    return started


@pytest.fixture(scope="module")
def private_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
async def untrusting(
    fleet: Fleet,
    module_fleet_of: FleetOf,
    private_key: ec.EllipticCurvePrivateKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fleet:
    """Trusts no peer; tokens are signed with a private key."""
    public = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_file = tmp_path_factory.mktemp("keys") / "public.pem"
    key_file.write_bytes(public)
    identity = {"jwt": tokens("ES256", key_file=str(key_file))}
    return await module_fleet_of(trusted_networks=[], identity=identity)


def token(tenant: object, key: Any = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    """The value of an Authorization field. claims: what differs from a good token."""
    good: dict[str, object] = {"iss": "tests", "aud": "erp", "exp": int(time.time()) + 600}
    named = {} if tenant is None else {"tenant": tenant}
    return f"Bearer {jwt.encode({**good, **named, **claims}, key, algorithm)}"


def told(answer: Answer) -> tuple[int, str]:
    """Status, and the slot or the problem's code."""
    if answer.slot:
        return answer.status, answer.slot
    assert answer.fields["content-type"] == "application/problem+json"
    return answer.status, answer.json["code"]


GREEN = (200, "green")
BLUE = (200, "blue")


async def test_each_source_names_the_tenant(fleet: Fleet) -> None:
    assert told(await fleet.get(authorization=token("acme"))) == GREEN
    assert told(await fleet.get(tenant="acme")) == GREEN
    assert told(await fleet.get(host="acme.erp.test")) == GREEN
    assert told(await fleet.get(host="ACME.erp.test:8080")) == GREEN
    assert told(await fleet.get("/t/acme/jobs?id=1")) == GREEN
    assert told(await fleet.get("/t/acme")) == GREEN


async def test_others_go_to_the_active_slot(fleet: Fleet) -> None:
    assert told(await fleet.get()) == BLUE
    assert told(await fleet.get(authorization=token("other"))) == BLUE
    assert told(await fleet.get(authorization=token(None))) == BLUE
    assert told(await fleet.get(authorization="Basic YWNtZTpzZWNyZXQ=")) == BLUE
    assert told(await fleet.get(host="other.erp.test")) == BLUE
    assert told(await fleet.get(host="erp.test")) == BLUE
    assert told(await fleet.get("/t/other/jobs")) == BLUE
    assert told(await fleet.get("/acme")) == BLUE


async def test_sources_that_agree_are_one(fleet: Fleet) -> None:
    answer = await fleet.get(
        "/t/acme/jobs", host="acme.erp.test", tenant="acme", authorization=token("acme")
    )
    assert told(answer) == GREEN


async def test_sources_that_disagree_are_refused(fleet: Fleet) -> None:
    refused = (403, "tenant-conflict")
    assert told(await fleet.get(tenant="acme", host="other.erp.test")) == refused
    assert told(await fleet.get(tenant="other", authorization=token("acme"))) == refused
    assert told(await fleet.get("/t/acme/jobs", host="other.erp.test")) == refused
    assert told(await fleet.get("/t/other/x", authorization=token("acme"))) == refused


@pytest.mark.parametrize("name", ["Acme", "a_b", "a" * 64, "%61cme", "a.b"])
async def test_what_is_no_tenant_is_refused(fleet: Fleet, name: str) -> None:
    assert told(await fleet.get(tenant=name)) == (400, "invalid-tenant")
    assert told(await fleet.get(f"/t/{name}/jobs")) == (400, "invalid-tenant")


BAD_TOKENS = {
    "expired": token("acme", exp=int(time.time()) - 600),
    "other issuer": token("acme", iss="else"),
    "other audience": token("acme", aud="else"),
    "other secret": token("acme", key="another secret, long enough for HS256 too"),
    "no expiry": f"Bearer {jwt.encode({'iss': 'tests', 'aud': 'erp', 'tenant': 'acme'}, SECRET)}",
    "unsigned": f"Bearer {jwt.encode({'iss': 'tests', 'aud': 'erp'}, '', 'none')}",
    "tenant is no string": token(7),
    "no token": "Bearer nonsense",
    "cut": token("acme")[:-1],
}


@pytest.mark.parametrize("value", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_bad_token_is_refused_even_beside_a_good_header(fleet: Fleet, value: str) -> None:
    answer = await fleet.get(tenant="acme", authorization=value)
    assert told(answer) == (401, "bad-token")
    assert value.split(" ")[1] not in answer.body.decode()
    assert value.split(" ")[1] not in fleet.child.output()


async def test_a_key_file_verifies_tokens(
    untrusting: Fleet, private_key: ec.EllipticCurvePrivateKey
) -> None:
    good = token("acme", private_key, "ES256")
    assert told(await untrusting.get(authorization=good)) == GREEN
    forged = token("acme", ec.generate_private_key(ec.SECP256R1()), "ES256")
    assert told(await untrusting.get(authorization=forged)) == (401, "bad-token")
    assert told(await untrusting.get(authorization=token("acme"))) == (401, "bad-token")


async def test_an_untrusted_peer_is_not_believed(untrusting: Fleet) -> None:
    forged = {"x_forwarded_for": "10.9.9.9", "x_request_id": "forged-request-id"}
    assert told(await untrusting.get(tenant="acme", **forged)) == BLUE
    answer = await untrusting.get("/echo", tenant="acme", **forged)
    fields = [tuple(field) for field in answer.json["fields"]]
    assert "x-tenant-id" not in dict(fields)
    assert [value for name, value in fields if name == "x-forwarded-for"] == ["127.0.0.1"]
    assert dict(fields)["x-request-id"] == answer.fields["x-request-id"] != "forged-request-id"


async def test_the_endpoint_is_told_the_tenant_that_was_understood(fleet: Fleet) -> None:
    for asked in ({"host": "acme.erp.test"}, {"authorization": token("acme")}):
        answer = await fleet.get("/echo", **asked)
        fields = [tuple(field) for field in answer.json["fields"]]
        assert [value for name, value in fields if name == "x-tenant-id"] == ["acme"]
