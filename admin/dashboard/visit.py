"""One look at the dashboard: who looks, what they may ask, and the frame around each page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from admin.api.guard import problem_of
from admin.api.problems import Problem
from admin.dashboard.forms import new_key
from admin.dashboard.model.frame import PLACES, Frame, frame
from admin.dashboard.once import Once
from admin.dashboard.operations import Operations
from admin.dashboard.render import Pages
from admin.dashboard.session import Session
from admin.dashboard.sources import Sources
from admin.migrations.guard import slot_versions
from admin.routing.events import KINDS
from admin.tokens import Role

log = structlog.get_logger(__name__)
THEME = "turnout_theme"
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request on its way to its page."""

    request: web.Request
    session: Session
    ops: Operations
    pages: Pages
    once: Once
    sources: Sources

    @property
    def query(self) -> Mapping[str, str]:
        """What the address asks for; of a name that comes twice, the last. Problem 400."""
        asked = {name: value.strip() for name, value in self.request.query.items()}
        if not all(value.isprintable() for value in asked.values()):
            raise Problem("invalid-query", "a parameter holds a character that can't be printed")
        return asked

    def named(self, name: str) -> str:
        """What the path names. Problem 404."""
        value = self.request.match_info[name]
        if not value.isprintable():
            raise Problem("not-found", "there is no such thing")
        return value

    def may(self, role: Role) -> bool:
        """Whether the visitor's role is enough."""
        return self.session.principal.role.allows(role)

    async def page(self, template: str, status: int = 200, **context: Any) -> web.Response:
        """The page within its frame."""
        common = {
            "frame": await self._frame(),
            "places": PLACES,
            "here": _place(self.request.path),
            "session": self.session,
            "csrf": self.session.csrf,
            "theme": theme_of(self.request),
            "can_operate": self.may(Role.OPERATOR),
            "can_all": self.may(Role.OPERATOR) and self.session.principal.tenants is None,
            "key": new_key(),
            "kinds": " ".join(KINDS),
            "address": self.request.path_qs,
        }
        assert not common.keys() & context.keys() - {"key"}, "a page takes a name of its frame's"  # noqa: S101
        return self.pages.response(template, {**common, **context}, status)

    def go(self, where: str) -> web.Response:
        """On to another page, which is asked for by GET."""
        return web.Response(status=303, headers={"Location": where})

    async def _frame(self) -> Frame | None:
        """How routing stands; None while PostgreSQL can't be asked."""
        parts = self.ops.api.parts
        try:
            async with parts.store.database.connection() as connection:
                versions = await slot_versions(connection)
            table = await parts.store.current()
        except Exception as error:
            if problem_of(error) is None:
                raise
            log.warning("a page has no frame", fault=type(error).__name__)
            return None
        return frame(table, versions)


def theme_of(request: web.Request) -> str:
    """The visitor's choice: auto follows the device."""
    chosen = request.cookies.get(THEME, "auto")
    return chosen if chosen in THEMES else "auto"


def _place(path: str) -> str:
    """The part of the dashboard that a path lies in."""
    return path.removeprefix("/ui").strip("/").partition("/")[0]
