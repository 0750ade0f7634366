"""A real admin in this process and the command line as a process of its own."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from admin.bootstrap import running
from admin.config import Settings
from admin.tokens import ALGORITHM, AUDIENCE, ISSUER, create_token
from config import Shared
from tests.integration.admin.follower import Follower

SECRET = "a secret of the tests, 32 bytes or more"
_numbers = itertools.count()


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Turnout:
    """Runs `turnout …` against one admin. Environment: of every command."""

    shared: Shared
    url: str
    environment: dict[str, str]

    async def __call__(self, *arguments: str, **environment: str) -> Done:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("TURNOUT_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "admin.cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**kept, **self.environment, **environment},
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        code = process.returncode
        assert code is not None
        return Done(code, out.decode(), err.decode())


def token(role: str = "admin", tenants: list[str] | None = None) -> str:
    return create_token(SECRET, f"a-{role}", role, 3600, tenants)


def expired_token() -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "late", "role": "admin", "exp": 1_000_000_000}
    return jwt.encode(claims, SECRET, algorithm=ALGORITHM)


@pytest.fixture
def shared(redis_url: str, admin_database_url: str) -> Shared:
    return Shared(redis_url, f"cli{next(_numbers)}", admin_database_url, "a routing key")


@pytest.fixture
async def turnout(shared: Shared) -> AsyncIterator[Turnout]:
    """The command line with an admin's token, one worker beside the admin."""
    settings = Settings(
        listen="127.0.0.1:0",
        token_secret=SECRET,
        reconcile_interval_s=0.1,
        database_wait_s=5.0,
        shutdown_timeout_s=1.0,
    )
    async with running(shared, settings) as address, Follower(shared, "w1"):
        url = f"http://{address}"
        environment = {"TURNOUT_ADMIN_URL": url, "TURNOUT_TOKEN": token()}
        yield Turnout(shared, url, environment)
