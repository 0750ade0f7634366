"""What each operation answers: the statuses of a success, and the codes of its refusals.

Most follows from the route: whether it has a role, takes a body, names something in its path. What
doesn't is in `RULES` and `SUCCESSES`, by patterns of "METHOD path". The OpenAPI document is made of it, and the tests
hold every answer of an admin against it. Pure.
"""

import re
from collections.abc import Iterable

import msgspec

from admin.api.messages import SwitchResult
from admin.api.problems import CODES
from admin.api.route import Route
from admin.tokens import Role

OPEN_TO_ALL_HOSTS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes come under whatever address an orchestrator uses, and learn nothing secret."""

_BODY = (
    *("invalid-json", "invalid-change", "body-timeout", "body-too-large"),
    "unsupported-media-type",
)
_CALLER = (
    *("invalid-authorization", "unauthenticated", "invalid-token", "too-many-failed-tokens"),
    *("database-unavailable", "store-unavailable"),
)
_CHANGE = (
    *("invalid-change", "forbidden-scope", "version-conflict", "slot-in-use", "slot-empty"),
    *("schema-unserved", "limits-moved", "outcome-unknown", "invalid-idempotency-key"),
    "idempotency-key-reused",
)
_FENCED = ("switch-running", "switch-undone", "too-many-switches", "worker-lost")

CHANGES = (
    r"(PUT|DELETE) /v1/tenants/.*|PUT /v1/(canary|slots/\{slot\}/endpoints)"
    r"|POST /v1/(cutover|rollback|routing/changes)"
)
"""They make a version of the table, and wait for the workers."""
FENCED = r"POST /v1/(cutover|rollback|routing/changes)"
KEYED = rf"{CHANGES}|POST /v1/(releases|drills|migrations/plans)"
"""They take an Idempotency-Key."""
_BEGIN = r"POST /v1/(releases|drills)"
_WORD = r"POST /v1/releases/\{release\}/.*"

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (CHANGES, _CHANGE),
    (FENCED, _FENCED),
    (r"\S+ /v1/tenants/\{tenant\}.*", ("invalid-tenant",)),
    (r"\S+ /v1/.*\{(slot|version|switch|plan|target|signal|release|session)\}.*", ("not-found",)),
    (r"PUT /v1/canary", ("no-traffic",)),
    (r"POST /v1/routing/whatif", ("no-traffic",)),
    (
        r"POST /v1/canary/ramp",
        (
            *("forbidden-scope", "version-conflict", "slot-empty", "canary-above", "no-traffic"),
            "ramp-running",
        ),
    ),
    (r"GET /v1/canary/ramp", ("not-found",)),
    (r"POST /v1/canary/ramp/\w+", ("forbidden-scope", "not-found", "ramp-state")),
    (r"POST /v1/switches/\{switch\}/cancel", ("forbidden-scope", "switch-ended")),
    (
        r"(PUT|DELETE) /v1/slots/\{slot\}/version",
        ("forbidden-scope", "schema-unserved", "limits-moved", "outcome-unknown"),
    ),
    (r"PUT /v1/signals/.*|DELETE /v1/sessions.*", ("forbidden-scope",)),
    (
        r"POST /v1/slots/\{slot\}/drain",
        ("forbidden-scope", "drain-running", "still-routed"),
    ),
    (r"DELETE /v1/slots/\{slot\}/drain", ("forbidden-scope", "drain-ended")),
    (
        r"POST /v1/migrations/plans",
        (
            *("forbidden-scope", "invalid-idempotency-key", "plan-refused", "plan-state"),
            "migrations-unreadable",
        ),
    ),
    (r"POST /v1/migrations/plans/\{plan\}/\w+", ("forbidden-scope", "plan-state")),
    (r"GET /v1/migrations/targets", ("plan-refused",)),
    (r"POST /v1/migrations/targets/\{target\}/\S+", ("forbidden-scope", "target-state")),
    (
        _BEGIN,
        (
            *("forbidden-scope", "invalid-idempotency-key", "release-refused", "release-running"),
            "release-state",
        ),
    ),
    (_WORD, ("forbidden-scope", "release-state")),
    (r"GET /v1/events", ("too-many-listeners",)),
)
"""What else they refuse with."""

SUCCESSES: tuple[tuple[str, tuple[int, ...]], ...] = (
    (rf"{CHANGES}|GET /v1/routing/changes/\{{version\}}", (200, 202)),
    (r"(POST|DELETE) /v1/slots/\{slot\}/drain|POST /v1/switches/\{switch\}/cancel", (202,)),
    (rf"{_BEGIN}|POST /v1/canary/ramp", (202,)),
    (r"POST /v1/migrations/plans", (200, 201)),
    (r"GET /readyz", (200, 503)),
)
"""Those that don't just answer 200."""


def successes(operation: Route) -> tuple[int, ...]:
    """The statuses that come with what was asked for."""
    return next((each for rule, each in SUCCESSES if _is(rule, operation)), (200,))


def also(operation: Route) -> type[msgspec.Struct] | None:
    """What a success gives in place of the route's own answer, where it can: of a fenced switch."""
    return SwitchResult if _is(FENCED, operation) else None


def takes_key(operation: Route) -> bool:
    """Whether an Idempotency-Key counts for it."""
    return _is(KEYED, operation)


def refusals(operation: Route) -> tuple[str, ...]:
    """The codes of all its refusals, in the order of CODES."""
    found = {"expectation-failed", "internal", *_of_who(operation)}
    found.update(_BODY if operation.has_body else ("invalid-query",))
    for rule, codes in RULES:
        if _is(rule, operation):
            found.update(codes)
    return tuple(code for code in CODES if code in found)


def by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    """The codes by their statuses, both in order."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(CODES[code][0], []).append(code)
    return dict(sorted(found.items()))


def _of_who(operation: Route) -> Iterable[str]:
    """Because of who asks, and from where."""
    if operation.path not in OPEN_TO_ALL_HOSTS:
        yield from ("unknown-host", "foreign-origin")
    if operation.role is None:
        return
    yield from _CALLER
    if operation.role is not Role.VIEWER:
        yield "forbidden-role"
    if operation.method != "GET":
        yield "forged-request"


def _is(rule: str, operation: Route) -> bool:
    return re.fullmatch(rule, f"{operation.method} {operation.path}") is not None
