"""The document and the page say all that is served, and nothing else."""

import base64
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from admin.api import docs, openapi
from admin.api.answers import successes, takes_key
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
        r"\{(tenant|slot|version|switch|plan|release|session|signal|target)\}", "", unstyled
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


def test_every_refusal_is_named(document):
    """No operation says `default`; each that has a role says who is refused."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            responses = operation["responses"]
            assert "default" not in responses
            assert any(status.startswith("2") for status in responses), (method, path)
            assert {"400", "417", "500"} <= responses.keys(), (method, path)
            if "security" in operation:
                assert {"401", "403", "421", "429", "503"} <= responses.keys(), (method, path)
            if "requestBody" in operation:
                assert {"408", "413", "415"} <= responses.keys(), (method, path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_success_has_its_form(document, route):
    operation = document["paths"][route.path][route.method.lower()]
    for status in successes(route):
        told = operation["responses"][str(status)]
        (media,) = told["content"].values()
        assert "$ref" in media["schema"] or "anyOf" in media["schema"] or route.answer is None
        assert {"X-Request-ID", "Cache-Control"} <= told["headers"].keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_whatever_is_taken_has_bounds(document, route):
    operation = document["paths"][route.path][route.method.lower()]
    schemas = [each["schema"] for each in operation["parameters"]]
    if route.has_body:
        schemas.append(document["components"]["schemas"][route.given.__name__])
    assert [*chain.from_iterable(unbounded(each, document) for each in schemas)] == []


def unbounded(schema: dict[str, Any], document: dict[str, Any], where: str = "") -> Iterator[str]:
    """The places in it that hold a text, a number or a list without an end."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        # The contract's decoder bounds each field of an operation.
        if name != "Operation":
            yield from unbounded(
                document["components"]["schemas"][name], document, f"{where}.{name}"
            )
        return
    kind, known = schema.get("type"), schema.keys()
    if kind == "string" and not known & {"maxLength", "pattern", "enum", "const"}:
        yield where
    if kind in {"integer", "number"} and not (
        known & {"minimum", "exclusiveMinimum"} and "maximum" in known
    ):
        yield where
    if kind == "array":
        if "maxItems" not in known:
            yield where
        yield from unbounded(schema.get("items", {}), document, f"{where}[]")
    for name, of in schema.get("properties", {}).items():
        yield from unbounded(of, document, f"{where}.{name}")
    for each in (*schema.get("anyOf", ()), *(schema.get("oneOf", ()) if kind is None else ())):
        yield from unbounded(each, document, where)
