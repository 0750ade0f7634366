"""The API's calls, called from here: the same handlers, checks and audit, without HTTP between."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from admin.api import refusals
from admin.api.auth import require
from admin.api.guard import STARTED
from admin.api.problems import REQUEST_ID, Problem
from admin.api.route import Call, Parts, Route
from admin.tokens import Principal

NO_NAMES: Mapping[str, str] = {}


class Api:
    """All calls by method and path."""

    def __init__(self, parts: Parts, routes: Iterable[Route]) -> None:
        self.parts = parts
        self._routes = {(route.method, route.path): route for route in routes}

    def knows(self, method: str, path: str) -> bool:
        """Whether there is such a call: parts of the product may not be set up."""
        return (method, path) in self._routes

    def route(self, method: str, path: str) -> Route:
        """The call. KeyError: a page asks for one that isn't there."""
        return self._routes[method, path]


class Operations:
    """The calls as one visitor makes them."""

    def __init__(self, api: Api, request: web.Request, principal: Principal) -> None:
        self.api, self._request, self._principal = api, request, principal

    async def read(
        self,
        path: str,
        names: Mapping[str, str] = NO_NAMES,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer to a GET, as its type. None or nothing: a query that isn't given. Problem."""
        asked = {name: value for name, value in (query or {}).items() if value not in {None, ""}}
        return await self.make("GET", path, names, asked)

    async def found(self, path: str, names: Mapping[str, str] = NO_NAMES) -> Any:
        """The same; None if there is no such thing, or no such call."""
        if not self.api.knows("GET", path):
            return None
        try:
            return await self.read(path, names)
        except Problem as problem:
            if problem.code != "not-found":
                raise
            return None

    async def make(
        self,
        method: str,
        path: str,
        names: Mapping[str, str] = NO_NAMES,
        given: Mapping[str, Any] | None = None,
        key: str = "",
        answer: type[msgspec.Struct] | None = None,
    ) -> Any:
        """The answer to any call, as its type. given: the body or the query. Problem and the rest.

        answer: of what type it is, where that isn't the route's.
        """
        route = self.api.route(method, path)
        response = await self._act(route, names, given or {}, key)
        body = getattr(response, "body", None)
        assert isinstance(body, bytes)  # noqa: S101 - every call made here answers at once
        return msgspec.json.decode(body, type=answer or route.answer or Any)

    async def _act(
        self, route: Route, names: Mapping[str, str], given: Mapping[str, Any], key: str
    ) -> web.StreamResponse:
        try:
            if route.role is not None:
                require(self._principal, route.role)
            return await route.handler(self._call(route, names, given, key), _typed(route, given))
        except Exception as error:
            tenant = names.get("tenant", "")
            about = (route, self.api.parts, self._request, self._principal)
            await refusals.record(*about, error, tenant)
            raise

    def _call(
        self, route: Route, names: Mapping[str, str], given: Mapping[str, Any], key: str
    ) -> Call:
        request = self._request
        return Call(
            *(request, self.api.parts, self._principal, request[REQUEST_ID], request[STARTED]),
            action=route.action,
            raw=msgspec.json.encode(given, order="sorted"),
            names=names,
            keys=(key,) if key else (),
        )


def _typed(route: Route, given: Mapping[str, Any]) -> Any:
    """What is given as the call's type. Problem 400."""
    try:
        return msgspec.convert(dict(given), route.given, strict=route.has_body)
    except msgspec.ValidationError as error:
        code = "invalid-change" if route.has_body else "invalid-query"
        raise Problem(code, str(error)) from None
