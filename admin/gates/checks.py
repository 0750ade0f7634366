"""A file of checks, as smoke and integration tests have them.

    [[check]]
    name = "health says where it is"
    request = {path = "/health"}
    expect = {status = 200, json = {"/environment" = "{slot}"}}

    [[check]]
    name = "the suite"
    command = ["npm", "run", "smoke"]
    timeout_s = 300.0

Rule: what would change data says so (`writes = true`), or is refused when the file is read.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from admin.config import Seconds
from admin.gates.pointer import is_pointer
from admin.gates.requests import SAFE, check_headers, check_target, check_tenants

METHODS = (*SAFE, "POST", "PUT", "PATCH", "DELETE")
ENDPOINTS = ("each", "one")


class CheckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent. headers: values, or where secrets stand. body or json: at most one."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str | None = None
    json: Any = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`method` is one of {', '.join(METHODS)}")
        if self.body is not None and self.json is not None:
            raise ValueError("`body` or `json` is sent, and not both")
        check_target(self.path)
        check_headers(self.headers)


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer has to be. headers: name → value. contains: pieces of the body. json: pointer →
    value. matches: pointer → a regular expression that the whole value matches; the empty pointer is
    the body as text. absent: pointers that lead nowhere.
    """  # noqa: D205 - one sentence a field

    status: int | tuple[int, ...] = 200
    headers: dict[str, str] = {}
    contains: tuple[str, ...] = ()
    json: dict[str, Any] = {}
    matches: dict[str, str] = {}
    absent: tuple[str, ...] = ()
    within_ms: Annotated[float, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if not self.statuses or not all(100 <= status <= 599 for status in self.statuses):
            raise ValueError("`status` lies between 100 and 599")
        for name in ("json", "matches", "absent"):
            for pointer in getattr(self, name):
                if not is_pointer(pointer):
                    raise ValueError(
                        f"`{name}`: {pointer[:40]!r} is no JSON pointer, as /items/0/id"
                    )
        for pointer, pattern in self.matches.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"`matches`: the pattern for {pointer!r} is no regular expression: {error}"
                ) from None

    @property
    def statuses(self) -> tuple[int, ...]:
        """Those that are as expected."""
        return (self.status,) if isinstance(self.status, int) else self.status


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and what is expected, or a command. timeout_s: of each request, or the command, seconds.

    endpoints: whether each endpoint of the slot is asked, or one; by default each, but one if it writes.
    """

    name: str
    request: CheckRequest | None = None
    expect: Expect = Expect()
    command: tuple[str, ...] = ()
    tenants: str | tuple[str, ...] = "none"
    endpoints: str = ""
    writes: bool = False
    timeout_s: Seconds = 10.0

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 100:
            raise ValueError("`name` has 1 to 100 characters")
        if (self.request is None) == (not self.command):
            raise ValueError("`request` or `command` says what is done, and not both")
        if self.request is not None and self.request.method not in SAFE and not self.writes:
            raise ValueError(f"`writes` is not true, and {self.request.method} may change data")
        if self.endpoints and self.endpoints not in ENDPOINTS:
            raise ValueError(f"`endpoints` is one of {', '.join(ENDPOINTS)}")
        check_tenants(self.tenants)

    @property
    def of_each(self) -> bool:
        """Whether each endpoint is asked."""
        return self.endpoints == "each" or not (self.endpoints or self.writes)


class CheckList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of checks."""

    check: tuple[Check, ...]

    def __post_init__(self) -> None:
        if not self.check:
            raise ValueError("the file has no [[check]]")
        names = [check.name for check in self.check]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise ValueError(f"two checks are called {twice!r}")
