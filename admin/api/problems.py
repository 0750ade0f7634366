"""Refusals as RFC 9457 problem documents. `CODES` is the list of all of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

REQUEST_ID = web.RequestKey("request_id", str)
MAX_DETAIL = 400
RETRY_AFTER_S = 1

CODES: Mapping[str, tuple[int, str]] = {
    "invalid-change": (400, "The change can't be used as written"),
    "invalid-json": (400, "The body is not JSON"),
    "invalid-query": (400, "The query can't be used as written"),
    "invalid-tenant": (400, "The tenant id is not valid"),
    "invalid-authorization": (400, "The Authorization header can't be used"),
    "invalid-idempotency-key": (400, "The Idempotency-Key can't be used"),
    "unauthenticated": (401, "A bearer token is needed"),
    "invalid-token": (401, "The bearer token is not accepted"),
    "forbidden-role": (403, "The token's role is not enough"),
    "forbidden-scope": (403, "The token may not change this"),
    "foreign-origin": (403, "Requests from this origin are refused"),
    "forged-request": (403, "The request does not come from a page of this admin"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The resource doesn't know this method"),
    "body-timeout": (408, "The body came too slowly"),
    "version-conflict": (409, "The table has another version"),
    "slot-in-use": (409, "The slot still serves requests"),
    "slot-empty": (409, "The slot has no endpoint"),
    "switch-running": (409, "Another switch holds these tenants"),
    "switch-undone": (409, "The switch was undone"),
    "switch-ended": (409, "The switch has gone too far"),
    "drain-running": (409, "Another drain of the slot runs"),
    "drain-ended": (409, "The drain has ended"),
    "schema-unserved": (409, "A tenant's schema doesn't serve the slot's version"),
    "plan-refused": (409, "The plan can't be made"),
    "plan-state": (409, "The plan can't do that now"),
    "target-state": (409, "The target can't be retired, or brought back, now"),
    "release-running": (409, "Another release runs"),
    "release-state": (409, "The release can't do that now"),
    "release-refused": (409, "The release can't be begun"),
    "limits-moved": (409, "What changes have to keep to goes on changing"),
    "no-traffic": (409, "There are no figures of traffic to choose by"),
    "canary-above": (409, "The canary is above the ramp's first step"),
    "ramp-running": (409, "Another ramp runs"),
    "ramp-state": (409, "The ramp can't do that now"),
    "still-routed": (409, "The tenant still goes to the slot"),
    "worker-lost": (409, "A worker fell silent and may still serve"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body has to be plain JSON"),
    "expectation-failed": (417, "The expectation can't be met"),
    "unknown-host": (421, "This host name is not served here"),
    "idempotency-key-reused": (422, "The Idempotency-Key came with another request"),
    "migrations-unreadable": (422, "The folder of migrations can't be used"),
    "too-many-switches": (429, "Too many switches run at once"),
    "too-many-failed-tokens": (429, "Too many tokens were refused"),
    "internal": (500, "Something went wrong here"),
    "database-unavailable": (503, "PostgreSQL can't be reached"),
    "store-unavailable": (503, "Redis can't be reached"),
    "outcome-unknown": (503, "It is not known whether the change was made"),
    "too-many-listeners": (503, "All places for listeners are taken"),
}


class Problem(Exception):  # noqa: N818 - the RFC's name for it
    """A refusal. code: one of CODES, which gives status and title. extra: further members."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail
        self.status, self.title = CODES[code]
        self.headers = dict(headers or {})
        if self.status in {429, 503}:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
        if self.status == HTTPStatus.UNAUTHORIZED:
            self.headers.setdefault("WWW-Authenticate", 'Bearer realm="turnout"')
        self.extra = dict(extra or {})

    def response(self, request_id: str) -> web.Response:
        """The problem document."""
        document = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": _writable(self.detail[:MAX_DETAIL]),
            "code": self.code,
            "request_id": request_id,
            **{name: _writable(value) for name, value in self.extra.items()},
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(document),
            headers=self.headers,
            content_type="application/problem+json",
        )


def _writable(value: Any) -> Any:
    """The same, without what can't be written as UTF-8: a client's JSON may hold a lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return [_writable(each) for each in value] if isinstance(value, list | tuple) else value


def of_http(error: web.HTTPException) -> Problem:
    """The problem for what aiohttp itself refuses."""
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.headers.get("Allow", "")
        return Problem("method-not-allowed", f"allowed: {allowed}", headers={"Allow": allowed})
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Problem("body-too-large", "the body is over the limit")
    if error.status == HTTPStatus.NOT_FOUND:
        return Problem("not-found", "nothing is served under this path")
    return Problem("invalid-query", "the request can't be used")
