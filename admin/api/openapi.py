"""OpenAPI 3.1, made from the table of routes, the messages and the contract's shapes."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import orjson
from aiohttp import web

from admin.api.problems import CODES
from admin.api.route import Route
from admin.tokens import AUDIENCE, ISSUER, Role
from proxy.routing.codec import SHAPES, SLOT_FIELD, SWITCH_FIELD, TENANT_FIELD, Shape

REF = "#/components/schemas/{name}"
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
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
}
_PATH: dict[str, Any] = {
    "tenant": dict(TENANT_FIELD.schema),
    "slot": dict(SLOT_FIELD.schema),
    "switch": dict(SWITCH_FIELD.schema),
    "version": {"type": "integer", "minimum": 0},
    "session": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "plan": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 48},
    "signal": {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 63},
    "release": {"type": "string", "pattern": "^[a-z0-9.-]+$", "maxLength": 80},
    "target": {"type": "string", "pattern": "^[a-z0-9_.-]+$", "maxLength": 63},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request gets the first answer again, for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = list(routes)
    types = {route.given for route in routes} | {r.answer for r in routes if r.answer}
    ordered = sorted(types, key=lambda of: of.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REF)
    schemas = {**components, "Operation": _operations(), "Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
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


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_camel(route.path)}",
        "summary": route.summary,
        "parameters": _parameters(route, schemas),
        "responses": _responses(route),
    }
    if route.role is not None:
        operation["security"] = [{"bearer": []}]
        operation["x-role"] = str(route.role)
    if route.has_body:
        is_needed = bool(schemas[route.given.__name__].get("required"))
        content = {"application/json": {"schema": _ref(route.given)}}
        operation["requestBody"] = {"required": is_needed, "content": content}
    return operation


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH[name]}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.action:
        parameters.append(_KEY)
    if not route.has_body:
        properties = schemas[route.given.__name__].get("properties", {})
        parameters += [
            {"name": name, "in": "query", "schema": schema} for name, schema in properties.items()
        ]
    return parameters


def _responses(route: Route) -> dict[str, Any]:
    schema = _ref(route.answer) if route.answer else {"type": "string"}
    success = {"description": "Done", "content": {route.media: {"schema": schema}}}
    responses: dict[str, Any] = {"200": success}
    if route.action or route.path.startswith("/v1/routing/changes/"):
        responses["202"] = {**success, "description": "Made, but not all workers serve it yet"}
    if route.path == "/readyz":
        responses["503"] = {**success, "description": "A part doesn't answer"}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    responses["default"] = {"description": "A refusal", "content": problem}
    return responses


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


def _ref(of: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": REF.format(name=of.__name__)}


def _camel(path: str) -> str:
    return "".join(word.capitalize() for word in re.findall(r"\w+", path))
