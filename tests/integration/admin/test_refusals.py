"""Bad input: each gets its problem document, and nothing is changed."""

import asyncio
import base64
import json
import time

import aiohttp
import jwt
import pytest

from admin.bootstrap import running
from admin.config import Settings
from config import Shared
from tests.integration.admin.conftest import SECRET, Client, is_problem, published
from tests.support.servers import database_with_schema, emptied_redis

CLAIMS = {
    "iss": "turnout",
    "aud": "turnout-admin",
    "sub": "mallory",
    "role": "admin",
    "exp": int(time.time()) + 3600,
}


def part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def signed(secret: str = SECRET, algorithm: str = "HS256", headers=None, **claims) -> str:
    document = {key: value for key, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(document, secret, algorithm=algorithm, headers=headers)


def without_signature(alg: str) -> str:
    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(CLAIMS)}."


TOKENS = {
    "empty": "",
    "no token at all": "x",
    "alg none": without_signature("none"),
    "alg NONE": without_signature("NONE"),
    "alg none with a signature": f"{part({'alg': 'none'})}.{part(CLAIMS)}.AAAA",
    "another secret": signed("another secret, also of 32 bytes or more"),
    "another algorithm": signed(algorithm="HS512", secret=SECRET * 2),
    "expired": signed(exp=int(time.time()) - 61),
    "no exp": signed(exp=None),
    "another issuer": signed(iss="turnaround"),
    "no issuer": signed(iss=None),
    "another audience": signed(aud="turnout"),
    "a list of audiences": signed(aud=["turnout-admin"]),
    "no audience": signed(aud=None),
    "no subject": signed(sub=None),
    "an unknown role": signed(role="root"),
    "no role": signed(role=None),
    "tenants are no list": signed(tenants="acme"),
    "tenants are invalid": signed(tenants=["Acme!"]),
    "crit": signed(headers={"crit": ["b64"], "b64": True}),
    "jku": signed(headers={"jku": "http://127.0.0.1/"}),
    "over 8 KiB": signed(more="x" * 9000),
    "bad padding": signed() + "=",
}


@pytest.fixture(scope="module")
async def call(redis_server, postgres_server):
    """One admin for all tests of this module: none of them changes anything that matters."""
    with database_with_schema(postgres_server) as url:
        shared = Shared(emptied_redis(redis_server), "refusals", url, "")
        settings = Settings(
            listen="127.0.0.1:0", token_secret=SECRET, failed_tokens_per_minute=1000
        )
        async with running(shared, settings) as address, aiohttp.ClientSession() as session:
            client = Client(session, address)
            await published(client)
            yield client


@pytest.fixture
async def unchanged(call):
    """The version is the same after the test as before."""
    before = await call.version()
    yield before
    assert await call.version() == before


@pytest.mark.parametrize("name", TOKENS)
async def test_a_bad_token_is_refused(call, unchanged, name):
    headers = {"Authorization": f"Bearer {TOKENS[name]}"}
    answer = await call("PUT", "/v1/canary", {"percent": 5}, headers=headers)
    is_problem(answer, 401, "invalid-token" if TOKENS[name] else "unauthenticated")
    assert answer[2]["WWW-Authenticate"].startswith("Bearer")


async def test_no_token_no_answer(call, unchanged):
    async with call.session.put(f"http://{call.address}/v1/canary", json={"percent": 5}) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="turnout"'


async def test_a_token_in_the_query_is_not_looked_at(call, unchanged):
    url = f"http://{call.address}/v1/routing?access_token={call.token}"
    async with call.session.get(url) as answer:
        assert answer.status == 401


async def test_two_authorizations_are_refused(call):
    head = f"GET /v1/routing HTTP/1.1\r\nHost: {call.address}\r\nConnection: close\r\n"
    token = f"Authorization: Bearer {call.token}\r\n"
    assert b" 400 " in await raw(call, f"{head}{token}{token}\r\n".encode())
    assert b" 200 " in await raw(call, f"{head}{token}\r\n".encode())


ROLES = [
    ("viewer", "POST", "/v1/routing/changes", {"operations": [{"op": "rollback"}]}),
    ("viewer", "PUT", "/v1/tenants/acme/pin", {"slot": "green"}),
    ("viewer", "DELETE", "/v1/tenants/acme/pin", None),
    ("viewer", "PUT", "/v1/tenants/acme", {}),
    ("viewer", "DELETE", "/v1/tenants/acme", None),
    ("viewer", "PUT", "/v1/canary", {"percent": 5}),
    ("viewer", "POST", "/v1/cutover", {"to": "green"}),
    ("viewer", "POST", "/v1/rollback", {}),
    ("operator", "PUT", "/v1/slots/green/endpoints", {"endpoints": []}),
]


@pytest.mark.parametrize(("role", "method", "path", "body"), ROLES)
async def test_a_role_that_is_not_enough(call, unchanged, role, method, path, body):
    is_problem(await call.with_token(role)(method, path, body), 403, "forbidden-role")


async def test_an_operator_may_not_set_endpoints_in_a_change_either(call, unchanged):
    operations = [{"op": "endpoints", "slot": "green", "endpoints": ["127.0.0.1:1"]}]
    answer = await call.with_token("operator")(
        "POST", "/v1/routing/changes", {"operations": operations}
    )
    is_problem(answer, 403, "forbidden-role")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/tenants/other/pin", {"slot": "green"}),
        ("PUT", "/v1/canary", {"percent": 5}),
        ("POST", "/v1/cutover", {"to": "green"}),
        ("POST", "/v1/cutover", {"to": "green", "tenants": ["acme", "other"]}),
        ("POST", "/v1/rollback", {}),
        ("PUT", "/v1/slots/green/endpoints", {"endpoints": []}),
        ("POST", "/v1/routing/changes", {"operations": [{"op": "cutover", "to": "green"}]}),
        ("POST", "/v1/releases", {"version": "1.3.0"}),
        ("POST", "/v1/releases/current/rollback", {}),
        ("POST", "/v1/releases/current/sign", {"signer": "qa"}),
        ("PUT", "/v1/signals/database-cpu", {"value": 99.0}),
        ("PUT", "/v1/slots/green/version", {"version": "1.3.0"}),
        ("DELETE", "/v1/slots/green/version", None),
        ("DELETE", "/v1/sessions?subject=anna", None),
    ],
)
async def test_a_scoped_token_may_change_its_tenants_only(call, unchanged, method, path, body):
    scoped = call.with_token("admin", ["acme"])
    is_problem(await scoped(method, path, body), 403, "forbidden-scope")


async def test_a_scoped_token_may_change_its_tenants(call):
    scoped = call.with_token("operator", ["acme"])
    assert (await scoped("PUT", "/v1/tenants/acme/pin", {"slot": "green"}))[0] == 200
    body = {"to": "green", "tenants": ["acme"]}
    assert (await scoped("POST", "/v1/cutover", body))[0] == 200


CHANGES: list[object] = [
    {},
    [],
    None,
    "x",
    {"operations": []},
    {"operations": {}},
    {"operations": [{}]},
    {"operations": [{"op": "explode"}]},
    {"operations": [{"op": "pin", "tenant": "acme"}]},
    {"operations": [{"op": "pin", "tenant": "Acme", "slot": "green"}]},
    {"operations": [{"op": "pin", "tenant": "acme", "slot": "purple"}]},
    {"operations": [{"op": "pin", "tenant": "acme", "slot": "green", "more": 1}]},
    {"operations": [{"op": "canary", "percent": 5}, {"op": "canary", "percent": 101}]},
    {"operations": [{"op": "rollback"}], "more": 1},
    {"operations": [{"op": "rollback"}], "expected_version": -1},
    {"operations": [{"op": "rollback"}], "expected_version": "1"},
    {"operations": [{"op": "rollback"}], "timeout_ms": 60_001},
    {"operations": [{"op": "rollback"}], "mode": "slow"},
    {"operations": [{"op": "rollback"}] * 20_001},
]


@pytest.mark.parametrize("body", CHANGES, ids=range(len(CHANGES)))
async def test_a_change_that_does_not_fit(call, unchanged, body):
    headers = {"Content-Type": "application/json"}
    answer = await call("POST", "/v1/routing/changes", data=json.dumps(body), headers=headers)
    is_problem(answer, 400, "invalid-change")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/canary", {"percent": 101}),
        ("PUT", "/v1/canary", {"percent": "5"}),
        ("PUT", "/v1/canary", {"percent": 0.001}),
        ("PUT", "/v1/canary", {"percent": 5, "unit": "galaxy"}),
        ("PUT", "/v1/canary", {"percent": 5, "salt": ""}),
        ("PUT", "/v1/canary", {"percent": 5, "salt": "\ud800"}),
        ("PUT", "/v1/tenants/acme/pin", {"slot": "purple"}),
        ("PUT", "/v1/tenants/acme/pin", {"slot": None}),
        ("PUT", "/v1/tenants/acme/pin", {"slot": "green", "\ud800": 1}),
        ("POST", "/v1/cutover", {"to": "purple"}),
        ("POST", "/v1/cutover", {"to": "green", "tenants": []}),
        ("POST", "/v1/cutover", {"to": "green", "tenants": "some"}),
        ("POST", "/v1/cutover", {"to": "green", "tenants": ["Acme"]}),
        ("POST", "/v1/rollback", {"tenants": [1]}),
        ("PUT", "/v1/slots/green/endpoints", {"endpoints": "127.0.0.1:80"}),
        ("PUT", "/v1/slots/green/endpoints", {"endpoints": ["127.0.0.1"]}),
        ("PUT", "/v1/slots/green/endpoints", {"endpoints": ["a:1", "a:1"]}),
        ("PUT", "/v1/slots/green/endpoints", {"endpoints": ["a:1"], "force": 1}),
    ],
)
async def test_a_body_that_does_not_fit(call, unchanged, method, path, body):
    headers = {"Content-Type": "application/json"}
    answer = await call(method, path, data=json.dumps(body), headers=headers)
    is_problem(answer, 400, "invalid-change")


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff{}",
        b'{"percent": NaN}',
        b'{"percent": 5, "percent": 6}',
        b"[" * 100_000,
        b'{"percent": ' + b"9" * 5000 + b"}",
    ],
    ids=range(6),
)
async def test_what_is_not_json(call, unchanged, text):
    headers = {"Content-Type": "application/json"}
    is_problem(await call("PUT", "/v1/canary", data=text, headers=headers), 400, "invalid-json")


@pytest.mark.parametrize("tenant", ["Acme", "a_b", "a" * 64, "%00", "a%20b", "%ff"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/pin", {"slot": "green"}),
        ("DELETE", "/pin", None),
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("GET", "/route", None),
    ],
)
async def test_an_invalid_tenant(call, unchanged, tenant, method, path, body):
    answer = await call(method, f"/v1/tenants/{tenant}{path}", body)
    is_problem(answer, 400, "invalid-tenant")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tenants?limit=0",
        "/v1/tenants?limit=1001",
        "/v1/tenants?limit=1&limit=2",
        "/v1/tenants?slot=purple",
        "/v1/tenants?more=1",
        "/v1/tenants/acme/route?weight=101",
        "/v1/tenants/acme/route?weight=nan",
        "/v1/tenants/acme/route?active=purple",
        "/v1/tenants/acme/route?pin=purple",
        "/v1/audit?cursor=x",
        "/v1/audit?actor=%00",
        "/v1/events?types=explosions",
        "/v1/routing/changes/1?timeout_ms=-1",
    ],
)
async def test_a_query_that_does_not_fit(call, path):
    is_problem(await call("GET", path), 400, "invalid-query")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/v1/slots/purple/endpoints"),
        ("GET", "/v1/routing/changes/999999"),
        ("GET", "/v1/routing/changes/x"),
        ("GET", "/v1/routing/changes/" + "9" * 400),
    ],
)
async def test_what_is_not_there(call, method, path):
    is_problem(await call(method, path), 404, "not-found")


async def test_a_method_that_is_not_known(call):
    answer = await call("POST", "/v1/tenants/acme/pin", {})
    is_problem(answer, 405, "method-not-allowed")
    assert set(answer[2]["Allow"].split(",")) == {"DELETE", "PUT"}


async def test_a_stale_version(call, unchanged):
    for method, path, body in (
        ("PUT", "/v1/canary", {"percent": 5, "expected_version": unchanged - 1}),
        ("PUT", "/v1/canary", {"percent": 5, "expected_version": unchanged + 1}),
        ("DELETE", f"/v1/tenants/acme/pin?expected_version={unchanged - 1}", None),
    ):
        answer = await call(method, path, body)
        is_problem(answer, 409, "version-conflict")
        assert answer[1]["version"] == unchanged


async def test_of_two_changes_at_once_one_wins(call):
    version = await call.version()
    bodies = [{"percent": weight, "expected_version": version} for weight in (5, 6)]
    answers = await asyncio.gather(*(call("PUT", "/v1/canary", body) for body in bodies))
    assert sorted(answer[0] for answer in answers) == [200, 409]
    assert await call.version() == version + 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_kind(call, unchanged, headers):
    answer = await call("PUT", "/v1/canary", data=b'{"percent": 5}', headers=headers)
    is_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\u0080b"])
async def test_a_key_that_can_not_be_used(call, unchanged, key):
    headers = {"Idempotency-Key": key}
    answer = await call("PUT", "/v1/canary", {"percent": 5}, headers=headers)
    is_problem(answer, 400, "invalid-idempotency-key")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a:b"])
async def test_a_host_that_is_not_ours(call, host):
    is_problem(await call("GET", "/v1/routing", headers={"Host": host}), 421, "unknown-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.:80", "127.0.0.9:1", "[::1]:8081"])
async def test_a_host_that_is_ours(call, host):
    assert (await call("GET", "/v1/routing", headers={"Host": host}))[0] == 200


async def test_a_foreign_origin(call, unchanged):
    for origin in ("https://evil.example", "null", f"http://{call.address}.evil.example"):
        answer = await call("PUT", "/v1/canary", {"percent": 5}, headers={"Origin": origin})
        is_problem(answer, 403, "foreign-origin")
    own = {"Origin": f"http://{call.address}"}
    assert (await call("GET", "/v1/routing", headers=own))[0] == 200


@pytest.mark.parametrize("authorization", ["", "Authorization: Bearer a.b.c\r\n"])
async def test_the_body_is_not_asked_for_before_the_token_is_checked(call, authorization):
    head = f"PUT /v1/canary HTTP/1.1\r\nHost: {call.address}\r\nConnection: close\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"
    answer = await raw(call, f"{head}{authorization}{body}".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_body_that_is_waited_for_is_asked_for(call):
    reader, writer = await asyncio.open_connection(*call.address.split(":"))
    head = f"PUT /v1/canary HTTP/1.1\r\nHost: {call.address}\r\nConnection: close\r\n"
    token = f"Authorization: Bearer {call.token}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"
    writer.write(f"{head}{token}{body}".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"percent":5}')
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def raw(call, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*call.address.split(":"))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
