"""OpenAPI 3.1, made from the table of routes, the messages and the contract's shapes."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import orjson
from aiohttp import web

from admin.api.answers import takes_key
from admin.api.messages import SwitchResult
from admin.api.problems import CODES
from admin.api.responses import HEADERS, SCHEMA, Responses, reference
from admin.api.route import Route
from admin.tokens import AUDIENCE, ISSUER, Role
from proxy.routing.codec import SHAPES, SLOT_FIELD, SWITCH_FIELD, TENANT_FIELD, Shape

_TEXTS = {"type": "array", "items": {"type": "string"}}
_PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457)",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": list(CODES)},
        "request_id": {"type": "string"},
        "version": {"type": "integer", "description": "the table's, with version-conflict"},
        "tenants": {**_TEXTS, "description": "whom it is about, with schema-unserved"},
        "faults": {**_TEXTS, "description": "all of them, of a plan or of the migrations"},
        "switch": {"type": "string", "description": "which one, with switch-undone"},
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
}
_PATH: dict[str, Any] = {
    "tenant": dict(TENANT_FIELD.schema),
    "slot": dict(SLOT_FIELD.schema),
    "switch": dict(SWITCH_FIELD.schema),
    "version": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "session": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "plan": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 48},
    "signal": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 63},
    "release": {"type": "string", "pattern": "^[a-z0-9.-]+$", "maxLength": 96},
    "target": {"type": "string", "pattern": "^[a-z0-9_.-]+$", "maxLength": 63},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request gets the first answer again, for 24 hours",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}


_EITHER: dict[str, dict[str, str]] = {
    "WhatIfBody": {"canary": "object", "cutover": "object", "operations": "array"},
    "StepBody": {"webhook": "string", "command": "string"},
}
"""Of these fields one alone is given, and it has this type."""


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = list(routes)
    types = {route.given for route in routes} | {r.answer for r in routes if r.answer}
    types.add(SwitchResult)
    ordered = sorted(types, key=lambda of: of.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=SCHEMA)
    for name, fields in _EITHER.items():
        components[name]["oneOf"] = [
            {"properties": {field: {"type": of}}, "required": [field]}
            for field, of in fields.items()
        ]
    schemas = {**components, "Operation": _operations(), "Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    responses = Responses()
    for route in routes:
        operation = _operation(route, schemas, responses)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnout admin API",
            "version": "1",
            "description": "Moves tenants and traffic between the slots blue and green. Every "
            "write is one atomic change with a version; its answer says who serves it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses.refused,
            "headers": HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": f"HS256; iss {ISSUER}, aud {AUDIENCE}; exp, sub and role "
                    f"({', '.join(Role)}); tenants narrows it to some",
                }
            },
        },
    }


def handler(written: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Serves the document."""
    body = orjson.dumps(written)

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return serve


def _operation(route: Route, schemas: dict[str, Any], responses: Responses) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_camel(route.path)}",
        "summary": route.summary,
        "parameters": _parameters(route, schemas),
        "responses": responses.of(route),
    }
    if route.role is not None:
        operation["security"] = [{"bearer": []}]
        operation["x-role"] = str(route.role)
    if route.has_body:
        is_needed = bool(schemas[route.given.__name__].get("required"))
        content = {"application/json": {"schema": reference(route.given)}}
        operation["requestBody"] = {"required": is_needed, "content": content}
    return operation


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH[name]}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if takes_key(route):
        parameters.append(_KEY)
    if not route.has_body:
        properties = schemas[route.given.__name__].get("properties", {})
        required = schemas[route.given.__name__].get("required", ())
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": _without_null(schema),
            }
            for name, schema in properties.items()
        ]
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The same for a query, in which nothing is null: it is left out instead."""
    found = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    options = [each for each in found.pop("anyOf", ()) if each != {"type": "null"}]
    if not options:
        return found
    (only,) = options
    return {**only, **found}


def _operations() -> dict[str, Any]:
    return {"oneOf": [_shape(name, shape) for name, shape in SHAPES.items()]}


def _shape(name: str, shape: Shape) -> dict[str, Any]:
    properties = {field.name: dict(field.schema) for field in shape.fields}
    required = [field.name for field in shape.fields if not field.optional]
    return {
        "title": name,
        "type": "object",
        "properties": {"op": {"const": name}, **properties},
        "required": ["op", *required],
        "additionalProperties": False,
    }


def _camel(path: str) -> str:
    return "".join(word.capitalize() for word in re.findall(r"\w+", path))
