import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import jwt
import pytest

from bench import credentials
from bench.checks import CheckError, refuses_spoilt_tokens, same_work
from bench.machine import Cores
from bench.peers.peer import Proxy, Site, Work
from bench.scenarios.scenario import pins

PINS = pins()
SITE = Site(Path("unused"), Cores(0, 1), {}, PINS)
WITH_TOKENS = Site(Path("unused"), Cores(0, 1), {}, PINS, Work(token=True))


class Behaviour:
    """What the stand-in for proxy and endpoint does; each test breaks one thing."""

    status = 200
    protocol = "HTTP/1.1"

    def __init__(self, **wrong: str | int) -> None:
        self.wrong = wrong
        self._ids = count(1)

    def arrived(self, tenant: str) -> dict[str, str | int]:
        right = {
            "slot": PINS[tenant],
            "tenant": tenant,
            "forwarded_for": "127.0.0.1",
            "request_id": f"id-{next(self._ids)}",
            "connection": "",
            "protocol": "HTTP/1.1",
        }
        return right | self.wrong


def tenant_of(headers: Message) -> str:
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    if not token:
        return headers["X-Tenant-ID"]
    return str(jwt.decode(token, options={"verify_signature": False})[credentials.CLAIM])


@contextmanager
def answering(behaviour: Behaviour) -> Iterator[Proxy]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = behaviour.protocol
        wbufsize = -1  # head and body in one segment: the second would wait for an acknowledgement

        def do_GET(self) -> None:
            body = json.dumps(behaviour.arrived(tenant_of(self.headers))).encode()
            self.send_response(behaviour.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Proxy("stand-in", server.server_port, lambda: ())
        finally:
            server.shutdown()
            thread.join()


def test_a_proxy_that_does_all_the_work_passes() -> None:
    with answering(Behaviour()) as proxy:
        same_work(proxy, SITE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slot": "blue"}, "slot is 'blue'"),
        ({"tenant": ""}, "tenant is ''"),
        ({"forwarded_for": ""}, "does not send forwarded-for"),
        ({"request_id": ""}, "does not send request-id"),
        ({"request_id": "same"}, "two requests one X-Request-ID"),
        ({"connection": "close"}, "closes its upstream"),
        ({"protocol": "HTTP/1.0"}, "protocol is 'HTTP/1.0'"),
    ],
)
def test_work_left_out_is_named(wrong: dict[str, str | int], message: str) -> None:
    with answering(Behaviour(**wrong)) as proxy, pytest.raises(CheckError, match=message):
        same_work(proxy, SITE)


def test_an_error_answer_is_named() -> None:
    behaviour = Behaviour()
    behaviour.status = 503
    with answering(behaviour) as proxy, pytest.raises(CheckError, match="answered 503"):
        same_work(proxy, SITE)


def test_a_proxy_that_closes_after_each_request_is_named() -> None:
    behaviour = Behaviour()
    behaviour.protocol = "HTTP/1.0"
    with answering(behaviour) as proxy, pytest.raises(CheckError, match="closed the connection"):
        same_work(proxy, SITE)


def test_a_proxy_that_is_not_there_is_named() -> None:
    with answering(Behaviour()) as proxy:
        pass
    with pytest.raises(CheckError, match="stand-in: Connection"):
        same_work(proxy, SITE)


def test_a_tenant_may_be_named_by_a_token() -> None:
    with answering(Behaviour()) as proxy:
        same_work(proxy, WITH_TOKENS)


def test_a_proxy_that_takes_a_wrong_signature_is_named() -> None:
    with (
        answering(Behaviour()) as proxy,
        pytest.raises(CheckError, match="answers 200 to a token with a wrong signature"),
    ):
        refuses_spoilt_tokens(proxy, WITH_TOKENS)


def test_a_proxy_that_refuses_it_passes() -> None:
    behaviour = Behaviour()
    behaviour.status = 401
    with answering(behaviour) as proxy:
        refuses_spoilt_tokens(proxy, WITH_TOKENS)
