"""The document and the page say all that is served, and nothing else."""

import base64
import json
import re
from hashlib import sha256
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from admin.api import docs, openapi
from admin.api.answers import takes_key
from admin.api.app import ROUTES
from admin.api.problems import CODES, Problem
from admin.tokens import Role
from proxy.routing.codec import SHAPES


@pytest.fixture(scope="module")
def document():
    return json.loads(orjson.dumps(openapi.document(ROUTES)))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_described(document, route):
    operation = document["paths"][route.path][route.method.lower()]
    assert operation["summary"] == route.summary
    assert operation.get("x-role") == (route.role and str(route.role))
    assert ("requestBody" in operation) == route.has_body
    named = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", route.path))
    keyed = any(item["name"] == "Idempotency-Key" for item in operation["parameters"])
    assert keyed == takes_key(route)


def test_nothing_else_is_described(document):
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_reference_leads_somewhere(document):
    found = set(re.findall(r'"\$ref":\s*"#/components/schemas/(\w+)"', json.dumps(document)))
    assert found <= document["components"]["schemas"].keys()
    assert "Operation" in found


def test_operation_ids_are_different(document):
    ids = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    ]
    assert len(ids) == len(set(ids))


def test_operations_are_those_of_the_contract(document):
    shapes = document["components"]["schemas"]["Operation"]["oneOf"]
    assert [shape["properties"]["op"]["const"] for shape in shapes] == list(SHAPES)
    assert all(shape["additionalProperties"] is False for shape in shapes)


def test_whatever_changes_something_needs_a_role_and_has_a_name():
    for route in ROUTES:
        # What-if takes a body, and changes nothing.
        if route.method != "GET" and route.path != "/v1/routing/whatif":
            assert route.action
            assert route.role in {Role.OPERATOR, Role.ADMIN}
        if route.path.startswith("/v1/"):
            assert route.role is not None


def test_the_page_shows_every_call_and_every_refusal(document):
    page = docs.page(document)
    for route in ROUTES:
        assert f"{route.method} {route.path}" in page
    for code in CODES:
        assert f'id="{code}"' in page


async def test_the_page_brings_no_script_and_its_style_is_allowed(document):
    response: Any = await docs.handler(document)(make_mocked_request("GET", "/docs"))
    policy = response.headers["Content-Security-Policy"]
    text = response.body.decode()
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert base64.b64encode(sha256(style.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    unstyled = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert "{" not in re.sub(
        r"\{(tenant|slot|version|switch|plan|release|session|signal)\}", "", unstyled
    )


@pytest.mark.parametrize("code", CODES)
def test_every_problem_is_a_whole_document(code):
    response: Any = Problem(code, "a\ud800" * 500).response("id")
    written = orjson.loads(response.body)
    assert response.content_type == "application/problem+json"
    assert (response.status, written["status"]) == (CODES[code][0], CODES[code][0])
    assert written["type"] == f"/docs#{code}"
    assert written["request_id"] == "id"
    assert len(written["detail"]) <= 400
    assert ("Retry-After" in response.headers) == (response.status in {429, 503})
