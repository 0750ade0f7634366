from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from admin.api.problems import Problem
from admin.dashboard.session import DoorSessions, Session, TokenSessions, csrf_of
from admin.tokens import Principal, Role

ADA = Principal("ada", Role.OPERATOR, None, 2e9)
BOB = Principal("bob", Role.VIEWER, None, 2e9)


@dataclass(frozen=True)
class Visitor:
    principal: Principal = BOB
    csrf: str = "of the session"


@dataclass
class Door:
    """A log-in that knows one visitor, or nobody."""

    known: Visitor | None = None
    checked: list[str] = field(default_factory=list)

    async def principal(self, request: web.Request) -> Principal:
        return ADA

    async def visitor(self, request: web.Request) -> Visitor | None:
        return self.known

    async def check_forgery(self, request: web.Request) -> None:
        self.checked.append(request.path)
        if "Origin" not in request.headers:
            raise Problem("foreign-origin", "no page of ours")

    def to_login(self, request: web.Request) -> web.Response:
        return web.Response(status=303, headers={"Location": "/ui/login"})


async def test_a_bearer_s_token_is_enough_and_its_forms_are_its_own():
    request = make_mocked_request("POST", "/ui/x", headers={"Authorization": "Bearer t"})
    found = await DoorSessions(Door(), "secret").of(request)
    assert found == Session(ADA, csrf_of(ADA, "secret"))
    assert found == await TokenSessions(lambda _: ADA, "secret").of(request)
    assert csrf_of(ADA, "secret") != csrf_of(BOB, "secret")
    assert csrf_of(ADA, "secret") != csrf_of(ADA, "another")


async def test_who_has_logged_in_is_known_by_that():
    found = await DoorSessions(Door(Visitor()), "secret").of(make_mocked_request("GET", "/ui/x"))
    assert found == Session(BOB, "of the session", "/ui/logout")


async def test_who_has_not_logged_in_is_sent_to_the_door():
    found = await DoorSessions(Door(), "secret").of(make_mocked_request("GET", "/ui/x"))
    assert isinstance(found, web.Response)
    assert found.headers["Location"] == "/ui/login"


async def test_a_form_of_another_s_page_gets_no_session():
    door = Door(Visitor())
    own = make_mocked_request("POST", "/ui/x", headers={"Origin": "http://localhost"})
    assert isinstance(await DoorSessions(door, "secret").of(own), Session)
    with pytest.raises(Problem):
        await DoorSessions(door, "secret").of(make_mocked_request("POST", "/ui/x"))
    assert door.checked == ["/ui/x", "/ui/x"]
