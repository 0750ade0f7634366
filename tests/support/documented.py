"""Holds answers of an admin against the OpenAPI document: status, headers, content type, schema.

Independent of what makes the calls: every call of the integration tests' client is judged by it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import orjson

from admin.api import openapi
from admin.api.app import ROUTES

Operation = tuple[str, str]
"""Its method and its path, as the document has them."""
_PLACES = {
    (route.method, route.path): re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route.path)))
    for route in ROUTES
}


@cache
def document() -> Any:
    """The document, as a reader of its JSON has it."""
    return orjson.loads(orjson.dumps(openapi.document(ROUTES)))


class Seen:
    """Which operations were called, and how they answered."""

    def __init__(self) -> None:
        self.statuses: dict[Operation, Counter[int]] = {place: Counter() for place in _PLACES}

    def add(self, method: str, path: str, status: int) -> None:
        """One answer, if the document has the operation."""
        found = operation_of(method, path)
        if found is not None:
            self.statuses[found][status] += 1

    def never(self, *, successful: bool = False) -> list[Operation]:
        """The operations that were never called, or never with success."""
        return [
            place
            for place, counts in self.statuses.items()
            if not any(status < 300 or not successful for status in counts)
        ]

    def take_away(self, before: "Seen") -> None:
        """What was counted before."""
        for place, counts in before.statuses.items():
            self.statuses[place] -= counts

    def table(self) -> str:
        """A line for each operation."""
        lines = []
        for (method, path), counts in self.statuses.items():
            told = "  ".join(f"{status} x {count}" for status, count in sorted(counts.items()))
            lines.append(f"{method:<7}{path:<44}{told or 'never'}")
        return "\n".join(lines)


def operation_of(method: str, path: str) -> Operation | None:
    """The operation that a request is for, None if the document has none."""
    path = path.partition("?")[0]
    fitting = [
        place
        for place, form in _PLACES.items()
        if place[0] == method and form.fullmatch(path) is not None
    ]
    # A path without variables goes before one with: /v1/audit/verify is no release.
    return min(fitting, key=lambda place: place[1].count("{"), default=None)


def faults(method: str, path: str, status: int, headers: Mapping[str, str], text: str) -> list[str]:
    """What in the answer the document doesn't have; empty: nothing, or no operation of it."""
    operation = operation_of(method, path)
    if operation is None:
        return []
    where = f"{method} {operation[1]}, {status}"
    told = document()["paths"][operation[1]][method.lower()]["responses"].get(str(status))
    if told is None:
        return [f"{where}: the document has no such status; see admin/api/answers.py: {text[:200]}"]
    told = _followed(told)
    media = headers.get("Content-Type", "").partition(";")[0]
    if media not in told["content"]:
        return [f"{where}: the document has no {media}"]
    found = [
        f"{where}: header {name}: {headers.get(name)}"
        for name, of in told["headers"].items()
        if not _header_fits(_followed(of), headers.get(name))
    ]
    if media.endswith("json"):
        validator = _validator(orjson.dumps(told["content"][media]["schema"]))
        errors = validator.iter_errors(orjson.loads(text))
        found += [f"{where}: {error.message} at {error.instance_path}" for error in errors]
    return found


def _followed(part: dict[str, Any]) -> Any:
    """What a reference leads to."""
    found: Any = part
    if "$ref" in part:
        found = document()
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def _header_fits(header: dict[str, Any], value: str | None) -> bool:
    if value is None:
        return not header["required"]
    schema = header["schema"]
    given: Any = int(value) if schema["type"] == "integer" and value.isdigit() else value
    return bool(_validator(orjson.dumps(schema)).is_valid(given))


@cache
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.Draft202012Validator(
        orjson.loads(schema) | {"components": document()["components"]}
    )
