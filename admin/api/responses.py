"""The responses of the OpenAPI document: each status of an operation, its headers and its codes. Pure."""

from typing import Any

import msgspec

from admin.api.answers import also, by_status, refusals, successes, takes_key
from admin.api.problems import CODES
from admin.api.route import Route

SCHEMA = "#/components/schemas/{name}"
_RESPONSE = "#/components/responses/{name}"
_HEADER = "#/components/headers/{name}"
_SUCCESSES = {
    200: "Done",
    201: "Made",
    202: "Begun, or made and not served by all workers yet",
    503: "A part doesn't answer",
}


def _header(description: str, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
    }


HEADERS = {
    "X-Request-ID": _header(
        "names the request in the log and in the audit trail", pattern="^[0-9a-f]{32}$"
    ),
    "X-Content-Type-Options": _header("nothing is guessed", const="nosniff"),
    "Cache-Control": _header("nothing is kept", const="no-store"),
    "Retry-After": _header("seconds to wait", type="integer", minimum=1),
    "WWW-Authenticate": _header("the scheme that is asked for", pattern="^Bearer "),
    "Location": _header("where it stands from now on", required=False),
    "Idempotency-Replayed": _header("it is the first answer again", required=False, const="true"),
}
_ALWAYS = ("X-Request-ID", "X-Content-Type-Options", "Cache-Control")


class Responses:
    """Makes the responses of operations. refused: the refusals that they refer to, by name."""

    def __init__(self) -> None:
        self.refused: dict[str, dict[str, Any]] = {}
        self._names: dict[tuple[str, ...], str] = {}

    def of(self, route: Route) -> dict[str, Any]:
        """All of an operation, by status."""
        found: dict[str, Any] = {
            str(status): _success(route, status) for status in successes(route)
        }
        for status, codes in by_status(refusals(route)).items():
            name = self._name(status, codes)
            refused = {"$ref": _RESPONSE.format(name=name)}
            # A readiness that is not given has a document of its own.
            found.setdefault(str(status), refused)
        return found

    def _name(self, status: int, codes: list[str]) -> str:
        """The name of the refusal with these codes."""
        key = tuple(codes)
        if key not in self._names:
            of_status = sum(CODES[other[0]][0] == status for other in self._names)
            name = f"Refused{status}" + (f"-{of_status + 1}" if of_status else "")
            self._names[key] = name
            self.refused[name] = _refusal(status, codes)
        return self._names[key]


def reference(of: type[msgspec.Struct]) -> dict[str, str]:
    """To its schema."""
    return {"$ref": SCHEMA.format(name=of.__name__)}


def _success(route: Route, status: int) -> dict[str, Any]:
    headers = list(_ALWAYS)
    if status in {201, 202}:
        headers.append("Location")
    if takes_key(route):
        headers.append("Idempotency-Replayed")
    if status == 503:
        headers.append("Retry-After")
    return {
        "description": _SUCCESSES[status],
        "headers": _headers(headers),
        "content": {route.media: {"schema": _answer(route)}},
    }


def _answer(route: Route) -> dict[str, Any]:
    if route.answer is None:
        return {"type": "string"}
    other = also(route)
    if other is None:
        return dict(reference(route.answer))
    return {"anyOf": [reference(route.answer), reference(other)]}


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    """A response of these codes alone."""
    headers = list(_ALWAYS)
    if status in {429, 503}:
        headers.append("Retry-After")
    if status == 401:
        headers.append("WWW-Authenticate")
    own = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    schema = {"allOf": [{"$ref": SCHEMA.format(name="Problem")}, own]}
    return {
        "description": "; ".join(f"{CODES[code][1]} ({code})" for code in codes),
        "headers": _headers(headers),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _headers(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": _HEADER.format(name=name)} for name in names}
