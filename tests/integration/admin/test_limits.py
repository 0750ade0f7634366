"""What the settings limit: bad tokens, bodies, networks of endpoints, listeners."""

import asyncio
import json

from admin.tokens import create_token
from tests.integration.admin.conftest import SECRET, is_problem


async def test_too_many_bad_tokens_have_to_wait(start):
    call = await start(failed_tokens_per_minute=3)
    good = await call("GET", "/v1/routing")
    bad = {"Authorization": "Bearer a.b.c"}
    for _ in range(3):
        is_problem(await call("GET", "/v1/routing", headers=bad), 401, "invalid-token")
    answer = await call("GET", "/v1/routing", headers=bad)
    is_problem(answer, 429, "too-many-failed-tokens")
    assert 0 < int(answer[2]["Retry-After"]) <= 60
    # A token that was believed before still is.
    assert good[0] == (await call("GET", "/v1/routing"))[0] == 200
    # So is a new one: a neighbour's bad script must not stand between a manager and a rollback.
    call.token = create_token(SECRET, "new", "admin", 60)
    assert (await call("GET", "/v1/routing"))[0] == 200
    is_problem(await call("GET", "/v1/routing", headers=bad), 429, "too-many-failed-tokens")


async def test_a_body_over_the_limit(start):
    call = await start(body_limit_bytes=1000)
    await call("GET", "/v1/routing")
    big = json.dumps({"percent": 5, "salt": "x" * 2000})
    headers = {"Content-Type": "application/json"}
    answer = await call("PUT", "/v1/canary", data=big, headers=headers)
    is_problem(answer, 413, "body-too-large")

    # Its length says enough: nothing of it has to come.
    head = f"PUT /v1/canary HTTP/1.1\r\nHost: {call.address}\r\nConnection: close\r\n"
    token = f"Authorization: Bearer {call.token}\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection(*call.address.split(":"))
    writer.write(f"{head}{token}Content-Length: 1001\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()

    async def chunks():
        for _ in range(20):
            yield b" " * 100

    answer = await call("PUT", "/v1/canary", data=chunks(), headers=headers)
    is_problem(answer, 413, "body-too-large")


async def test_endpoints_outside_the_networks(start):
    call = await start(endpoint_networks=("10.0.0.0/8", "fd00::/8"))
    before = await call.version()
    for endpoint in ("192.0.2.1:80", "localhost:80", "[2001:db8::1]:80"):
        answer = await call("PUT", "/v1/slots/blue/endpoints", {"endpoints": [endpoint]})
        is_problem(answer, 400, "invalid-change")
        change = {"op": "endpoints", "slot": "blue", "endpoints": [endpoint]}
        answer = await call("POST", "/v1/routing/changes", {"operations": [change]})
        is_problem(answer, 400, "invalid-change")
    assert await call.version() <= max(before, 1)
    body = {"endpoints": ["10.1.2.3:80", "[fd00::1]:80"]}
    assert (await call("PUT", "/v1/slots/blue/endpoints", body))[0] == 200
