"""Forms that are sent twice are carried out once. Bounded: the oldest is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from admin.api.problems import Problem

MAX_REMEMBERED = 1000
"""Forms whose outcome is remembered, for a second click."""


class Once:
    """Outcomes by who sent a form and its key: the second sending waits for the first."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], asyncio.Future[Any]] = {}

    async def make(self, subject: str, key: str, do: Callable[[], Awaitable[Any]]) -> Any:
        """What `do` gives, or gave to the same form before; and what it raises. key: empty: of none."""
        if not key:
            return await do()
        known = self._outcomes.get((subject, key))
        if known is not None:
            return await asyncio.shield(known)
        outcome = self._begin((subject, key))
        try:
            answer = await do()
        except BaseException as error:
            # A refusal changed nothing: the same form may be sent again.
            self._outcomes.pop((subject, key), None)
            given_up = Problem("internal", "the first sending of this form was given up")
            outcome.set_exception(error if isinstance(error, Exception) else given_up)
            raise
        outcome.set_result(answer)
        return answer

    def _begin(self, of: tuple[str, str]) -> asyncio.Future[Any]:
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(_seen)
        self._outcomes[of] = outcome
        if len(self._outcomes) > MAX_REMEMBERED:
            del self._outcomes[next(iter(self._outcomes))]
        return outcome


def _seen(outcome: asyncio.Future[Any]) -> None:
    """Nobody may wait for it: its error is the first sender's to show."""
    if not outcome.cancelled():
        outcome.exception()
