"""The readable page: made once from the OpenAPI document, without scripts or foreign resources."""

import base64
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from html import escape
from typing import Any

from aiohttp import web

from admin.api.problems import CODES

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font: 14px/1.4 ui-monospace, monospace; background: var(--soft); padding: .1em .3em; }
section { border-top: 1px solid var(--line); padding: .5rem 0; }
h2 { margin-top: 2rem; } h3 { margin: .5rem 0; font-size: 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0; }
tr + tr td { border-top: 1px solid var(--line); }
nav a { display: block; }
"""
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1><p>{about}</p>
<p>For programs: <a href="/openapi.json">openapi.json</a>. Calls under <code>/v1</code> need
<code>Authorization: Bearer …</code>.</p>
"""


def handler(document: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Serves the page."""
    body = page(document).encode()
    digest = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    headers = {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "Content-Type": "text/html; charset=utf-8",
        "Referrer-Policy": "no-referrer",
    }

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return serve


def page(document: dict[str, Any]) -> str:
    """The page as HTML."""
    info = document["info"]
    title, about = escape(info["title"]), escape(info["description"])
    parts = [
        HEAD.format(title=title, about=about, style=STYLE),
        *_contents(document),
        "<h2>Calls</h2>",
        *(_call(*place, document) for place in _places(document)),
        "<h2>Forms</h2>",
        *(_form(name, schema) for name, schema in _forms(document)),
        "<h2>Refusals</h2><table>",
        *(_code(code, status, title) for code, (status, title) in CODES.items()),
        "</table></main></body></html>",
    ]
    return "".join(parts)


def _places(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _contents(document: dict[str, Any]) -> Iterator[str]:
    yield "<nav>"
    for method, path, operation in _places(document):
        link, summary = operation["operationId"], escape(operation["summary"])
        yield f'<a href="#{link}"><code>{method} {escape(path)}</code> {summary}</a>'
    yield "</nav>"


def _call(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    role = operation.get("x-role", "nobody in particular: open")
    body = operation.get("requestBody", {}).get("content", {})
    takes = [f"<tr><td>body</td><td>{_type(item['schema'])}</td></tr>" for item in body.values()]
    takes += [
        f"<tr><td>{item['in']} <code>{escape(item['name'])}</code></td>"
        f"<td>{_type(item['schema'])} {escape(item.get('description', ''))}</td></tr>"
        for item in operation["parameters"]
    ]
    gives = [
        f"<tr><td>{status}</td><td>{escape(answer['description'])}: "
        f"{', '.join(_type(item['schema']) for item in answer['content'].values())}</td></tr>"
        for status, answer in _answers(operation, document)
    ]
    return (
        f'<section id="{operation["operationId"]}"><h3><code>{method} {escape(path)}</code></h3>'
        f"<p>{escape(operation['summary'])}. Role: {role}.</p>"
        f"<table>{''.join(takes + gives)}</table></section>"
    )


def _answers(
    operation: dict[str, Any], document: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    shared = document["components"]["responses"]
    for status, answer in operation["responses"].items():
        yield status, shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer


def _forms(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in document["components"]["schemas"].items():
        if "oneOf" in schema and "properties" not in schema:
            yield from ((f"{name}: {shape['title']}", shape) for shape in schema["oneOf"])
        else:
            yield name, schema


def _form(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' (optional)'}</td>"
        f"<td>{_type(of)} {escape(of.get('description', ''))}</td></tr>"
        for field, of in schema.get("properties", {}).items()
    ]
    about = escape(schema.get("description", ""))
    anchor = escape(name.replace(": ", "-"))
    return (
        f'<section id="form-{anchor}"><h3>{escape(name)}</h3><p>{about}</p>'
        f"<table>{''.join(rows)}</table></section>"
    )


def _type(schema: dict[str, Any]) -> str:
    schema = schema.get("allOf", [schema])[0]
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#form-{name}">{name}</a>'
    if "const" in schema:
        return f"<code>{escape(repr(schema['const']))}</code>"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(_type(option) for option in schema[word])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("type", "anything")))


def _code(code: str, status: int, title: str) -> str:
    return f'<tr id="{code}"><td>{status}</td><td><code>{code}</code></td><td>{title}</td></tr>'
