"""What a form brings: read within bounds, and only if it was made for this session."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from admin.api.problems import Problem
from admin.config import Settings
from admin.dashboard.session import Session, check_csrf

MAX_FIELDS = 2000
MAX_KEY = 200
"""Characters of a form's key: as many as an Idempotency-Key has."""
OWN = frozenset({"csrf", "key", "typed"})
"""Fields of every form; all others are what it asks for."""


class Form:
    """The fields of a form that was sent."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._last = dict(pairs)

    def text(self, name: str, default: str = "") -> str:
        """The field without white space around it."""
        return self._last.get(name, default).strip()

    def every(self, name: str) -> list[str]:
        """All values of a field that may come several times, each once."""
        return list(dict.fromkeys(value for field, value in self.pairs if field == name))

    def words(self, name: str) -> list[str]:
        """A field's words, apart by white space or commas."""
        return self.text(name).replace(",", " ").split()

    def number(self, name: str) -> float | None:
        """The field as a number; None if it is empty. Problem 400."""
        text = self.text(name)
        try:
            return float(text) if text else None
        except ValueError:
            raise Problem("invalid-change", f"{name}: {text!r} is not a number") from None

    def whole(self, name: str) -> int | None:
        """The field as a whole number; None if it is empty. Problem 400."""
        text = self.text(name)
        if text and not text.lstrip("-").isdigit():
            raise Problem("invalid-change", f"{name}: {text!r} is not a whole number")
        return int(text) if text else None

    @property
    def key(self) -> str:
        """Names this rendering of the form: sent twice, it is carried out once."""
        return self.text("key")[:MAX_KEY]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """The fields that are the form's own, to be asked again."""
        return [(name, value) for name, value in self.pairs if name not in OWN]

    def with_values(self, values: Mapping[str, Any]) -> "Form":
        """The same with these fields set anew."""
        kept = [pair for pair in self.pairs if pair[0] not in values]
        return Form([*kept, *((name, str(value)) for name, value in values.items())])


def new_key() -> str:
    """A key for a form that is rendered."""
    return secrets.token_urlsafe(18)


async def read(request: web.Request, session: Session, settings: Settings) -> Form:
    """The form. Problem 400, 403, 408, 413 or 415."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem("unsupported-media-type", "a form is application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            body = await request.read()
    except TimeoutError:
        raise Problem("body-timeout", f"it has {settings.body_timeout_s:g} s") from None
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise Problem("invalid-change", "the form can't be read") from None
    if not all(_writable(value) for pair in pairs for value in pair):
        raise Problem("invalid-change", "a field holds a character that can't be printed")
    form = Form(pairs)
    check_csrf(session, form.text("csrf"))
    return form


def _writable(text: str) -> bool:
    return all(each.isprintable() or each in "\r\n\t" for each in text)
