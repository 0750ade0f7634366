"""Connections to a source, to its server and to clones, by URLs that nobody gets to see.

Rules:
1. A URL is in no message and on no command line: programs get the password by their environment.
2. What goes wrong with a connection is told by the class of the error, for messages hold addresses.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from admin.migrations.identifiers import quoted
from admin.migrations.proof.limits import CannotProve, CannotReach, Limits, milliseconds

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any

APPLICATION = "turnout-verify"
_CLOSE_S = 2.0
_QUIET = """
SET log_min_messages = panic; SET log_min_error_statement = panic; SET log_statement = none;
SET log_min_duration_statement = -1; SET pg_stat_statements.track = none;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A database. name: what it is called in messages (a reference). url: a secret."""

    name: str
    url: str

    def __repr__(self) -> str:
        return f"Place({self.name!r})"

    @property
    def database(self) -> str:
        """The database that the URL names; empty, if none."""
        return unquote(urlsplit(self.url).path.lstrip("/"))

    @property
    def password(self) -> str:
        """The one in the URL; empty, if none."""
        parts = urlsplit(self.url)
        in_query = dict(parse_qsl(parts.query)).get("password", "")
        return unquote(parts.password or "") or in_query

    @property
    def safe_url(self) -> str:
        """Without the password: for the command line of PostgreSQL's programs."""
        parts = urlsplit(self.url)
        query = [(key, value) for key, value in parse_qsl(parts.query) if key != "password"]
        user = f"{parts.username}@" if parts.username else ""
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, user + host, parts.path, urlencode(query), ""))

    @property
    def environment(self) -> Mapping[str, str]:
        """What those programs need beside it."""
        return {"PGPASSWORD": self.password} if self.password else {}

    def sibling(self, database: str, name: str | None = None) -> "Place":
        """Another database of the same server."""
        parts = urlsplit(self.url)
        url = urlunsplit((parts.scheme, parts.netloc, f"/{quote(database)}", parts.query, ""))
        return replace(self, name=name or self.name, url=url)


@asynccontextmanager
async def connected(
    place: Place, limits: Limits, path: Sequence[str] = (), **settings: str
) -> AsyncIterator[Connection]:
    """A session, closed at the end. CannotProve: it can't be had.

    path: of schemas; empty: the role's own. settings: of PostgreSQL, beside time-outs.
    """
    if path:
        settings["search_path"] = ", ".join(map(quoted, path))
    connection = await open_session(place, limits, **settings)
    try:
        yield connection
    finally:
        await close(connection)


async def open_session(place: Place, limits: Limits, **settings: str) -> Connection:
    """A session that the caller closes. CannotReach: nobody answers; CannotProve: it is refused."""
    given = {
        "application_name": APPLICATION,
        "lock_timeout": milliseconds(limits.lock_timeout_s),
        "statement_timeout": milliseconds(limits.statement_timeout_s),
        **settings,
    }
    try:
        return await asyncpg.connect(
            place.url, timeout=limits.connect_s, statement_cache_size=0, server_settings=given
        )
    except asyncpg.PostgresError as error:
        raise CannotProve(
            f"{place.name}: the server refuses the connection ({type(error).__name__}): "
            "see what the reference holds, and the server's pg_hba.conf"
        ) from None
    except (OSError, ValueError, asyncpg.InterfaceError) as error:
        raise CannotReach(
            f"{place.name}: the server can't be reached ({type(error).__name__}): "
            "does it run, and is the URL's host right?"
        ) from None


async def quiet(connection: Connection) -> None:
    """Keep what is tried out of the server's log and statistics, which are the real database's too.

    Only a superuser may say so; others leave traces there.
    """
    if connection.get_settings().is_superuser == "on":
        await connection.execute(_QUIET)


async def close(connection: Connection) -> None:
    """End a session, in good order if that goes quickly."""
    try:
        await asyncio.wait_for(connection.close(), _CLOSE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
