"""Sessions in PostgreSQL, where every admin finds them, and where ending one ends it everywhere.

Rules: a session is looked up for each request and remembered by no process. What is too old is
none, whether its row is still there or not; log-ins sweep such rows away, and keep within the
limits by ending the sessions that were not used for longest. PostgreSQL's clock decides. A log-in
and its row in the audit trail are one transaction.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from admin.login.config import Login
from admin.login.grants import Grant
from admin.routing.audit import Author
from admin.routing.database import Connection
from admin.tokens import Principal, Role

_LOCK = 0x7475726E6C6F67
"""The advisory lock of log-ins, for the length of their transactions: "turnlog" in ASCII."""
_ALIVE = "ends_at > now() AND seen_at > now() - make_interval(secs => $1)"
_FIND = f"""
SELECT name, subject, role, tenants,
       extract(epoch FROM least(ends_at, seen_at + make_interval(secs => $1)))::float8 AS expires,
       seen_at < now() - make_interval(secs => $3) AS is_stale
  FROM turnout.sessions WHERE digest = $2 AND {_ALIVE}
"""  # noqa: S608 - of constants alone, as below
_SEEN = "UPDATE turnout.sessions SET seen_at = now() WHERE digest = $1"
_SWEEP = f"DELETE FROM turnout.sessions WHERE NOT ({_ALIVE})"  # noqa: S608
_END_OLD = """
DELETE FROM turnout.sessions WHERE digest IN
    (SELECT digest FROM turnout.sessions WHERE $1::text IS NULL OR subject = $1
      ORDER BY seen_at DESC, name OFFSET $2)
RETURNING name
"""
_ADD = """
INSERT INTO turnout.sessions (digest, name, subject, role, tenants, method, address, agent, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
        least(now() + make_interval(secs => $9), to_timestamp($10::float8)))
"""
_END = "DELETE FROM turnout.sessions WHERE digest = $1 RETURNING name, subject, role"
_END_NAMED = "DELETE FROM turnout.sessions WHERE name = $1 RETURNING name, subject"
_END_OF = "DELETE FROM turnout.sessions WHERE subject = $1 RETURNING name, subject"
_PAGE = f"""
SELECT name, subject, role, tenants, method, address, agent, began_at, seen_at,
       least(ends_at, seen_at + make_interval(secs => $1)) AS ends_at
  FROM turnout.sessions
 WHERE {_ALIVE} AND ($2::text IS NULL OR subject = $2)
   AND ($3::timestamptz IS NULL OR (began_at, name) < ($3, $4::text))
 ORDER BY began_at DESC, name DESC LIMIT $5
"""  # noqa: S608
_AUDIT = """
INSERT INTO turnout.audit
    (actor, role, action, from_state, to_state, tenants, outcome, code, request_id)
VALUES ($1, $2, $3, $4, $5, '{}', $6, $7, $8)
"""
_SWEEP_RETURNS = "DELETE FROM turnout.login_returns WHERE ends_at <= now()"
_USE_RETURN = """
INSERT INTO turnout.login_returns (digest, ends_at)
SELECT $1, now() + make_interval(secs => $2)
 WHERE (SELECT count(*) FROM turnout.login_returns) < $3
ON CONFLICT DO NOTHING RETURNING true
"""
_IS_USED = "SELECT EXISTS (SELECT FROM turnout.login_returns WHERE digest = $1)"


class Method(StrEnum):
    """By what somebody logged in."""

    TOKEN = "token"  # noqa: S105 - its name
    OIDC = "oidc"


class Use(StrEnum):
    """Whether a return counts."""

    FIRST = "first"
    AGAIN = "again"
    TOO_MANY = "too-many"


@dataclass(frozen=True, slots=True)
class Found:
    """A session that is alive. is_stale: its use has to be written down."""

    name: str
    principal: Principal
    is_stale: bool


@dataclass(frozen=True, slots=True)
class New:
    """A session to begin. old: the digest of the one that the browser had. expires: Unix seconds."""

    digest: bytes
    name: str
    grant: Grant
    method: Method
    address: str
    agent: str
    expires: float
    old: bytes | None


async def find(connection: Connection, digest: bytes, limits: Login) -> Found | None:
    """The session of this digest."""
    row = await connection.fetchrow(_FIND, limits.idle_s, digest, limits.seen_every_s)
    if row is None:
        return None
    tenants = None if row["tenants"] is None else frozenset(row["tenants"])
    principal = Principal(row["subject"], Role(row["role"]), tenants, row["expires"])
    return Found(row["name"], principal, row["is_stale"])


async def seen(connection: Connection, digest: bytes) -> None:
    """It was used now."""
    await connection.execute(_SEEN, digest)


async def begin(connection: Connection, new: New, limits: Login, request_id: str) -> None:
    """Write it down; the browser's old one ends, and what is above the limits."""
    grant = new.grant
    tenants = None if grant.tenants is None else sorted(grant.tenants)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_SWEEP, limits.idle_s)
        if new.old is not None:
            await connection.execute(_END, new.old)
        ended = await connection.fetch(_END_OLD, grant.subject, limits.sessions_per_person - 1)
        ended += await connection.fetch(_END_OLD, None, limits.sessions - 1)
        await connection.execute(
            _ADD,
            *(new.digest, new.name, grant.subject, str(grant.role), tenants, str(new.method)),
            *(new.address, new.agent, limits.absolute_s, new.expires),
        )
        author = Author(grant.subject, str(grant.role), request_id)
        became = {
            "session": new.name,
            "method": str(new.method),
            "address": new.address,
            "ended": [row["name"] for row in ended],
        }
        await _record(connection, author, "log-in", to=became)


async def log_out(connection: Connection, digest: bytes, request_id: str) -> None:
    """End the browser's own session, if it has not ended."""
    async with connection.transaction():
        row = await connection.fetchrow(_END, digest)
        if row is not None:
            author = Author(row["subject"], row["role"], request_id)
            await _record(connection, author, "log-out", was={"session": row["name"]})


async def end(connection: Connection, author: Author, *, name: str = "", of: str = "") -> list[str]:
    """End the session of this name, or all of a person; the names of those that ended."""
    async with connection.transaction():
        rows = await (connection.fetch(_END_NAMED, name) if name else connection.fetch(_END_OF, of))
        names = sorted(row["name"] for row in rows)
        if names:
            was = {"sessions": names, "subject": rows[0]["subject"]}
            await _record(connection, author, "end-session", was=was)
    return names


async def page(
    connection: Connection,
    limits: Login,
    subject: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Any]:
    """Sessions, the latest log-in first. after: began_at and name of the last one before."""
    began, name = after or (None, None)
    return await connection.fetch(_PAGE, limits.idle_s, subject, began, name, limit)


async def use_return(connection: Connection, digest: bytes, limits: Login) -> Use:
    """Have a return count, unless it has."""
    await connection.execute(_SWEEP_RETURNS)
    if await connection.fetchval(_USE_RETURN, digest, limits.return_s, limits.returns):
        return Use.FIRST
    return Use.AGAIN if await connection.fetchval(_IS_USED, digest) else Use.TOO_MANY


async def refused(connection: Connection, code: str, about: dict[str, Any], author: Author) -> None:
    """A log-in failed. author.actor: who it was, as far as that was verified."""
    await _record(connection, author, "log-in", to=about, code=code)


async def _record(
    connection: Connection,
    author: Author,
    action: str,
    *,
    was: dict[str, Any] | None = None,
    to: dict[str, Any] | None = None,
    code: str = "",
) -> None:
    await connection.execute(
        _AUDIT,
        *(author.actor, author.role, action, was and json.dumps(was), to and json.dumps(to)),
        *("refused" if code else "committed", code, author.request_id),
    )
