"""What the API says of sessions."""

from typing import Annotated

from msgspec import Meta, Struct

from admin.api.messages import Given, Limit, Text

Cursor = Annotated[str, Meta(pattern=r"^[0-9]{1,18}\.[0-9a-f]{16}$")]


class SessionsQuery(Given, kw_only=True):
    """Which sessions. subject: only this person's. cursor: `next` of the page before."""

    subject: Text | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


class PersonQuery(Given, kw_only=True):
    """Whose sessions."""

    subject: Annotated[Text, Meta(min_length=1)]


class SessionItem(Struct):
    """One session. method: token or oidc. ends_at: if it isn't used before that.

    address, agent: of the browser at its log-in. tenants: null for all.
    """

    session: str
    subject: str
    role: str
    tenants: list[str] | None
    method: str
    address: str
    agent: str
    began_at: str
    seen_at: str
    ends_at: str


class SessionsPage(Struct):
    """Sessions that are alive, the latest log-in first. next: the cursor for more, null at the end."""

    items: list[SessionItem]
    next: str | None


class SessionsEnded(Struct):
    """The sessions that were ended."""

    ended: list[str]
