"""A question to the store: where some keys belong. Asked once, answered once or not in time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from proxy.affinity.rules import Key
from proxy.routing.model import Slot

SEE: Final = "s"
BIND: Final = "b"
WRITE: Final = "w"
DELETE: Final = "d"


class Answer(NamedTuple):
    """slot: that decides. bound: how many keys were bound by it that belonged nowhere. values: of
    each key its slot and version; None: it belongs nowhere.
    """  # noqa: D205 - one sentence a field

    slot: Slot
    bound: int
    values: Sequence[tuple[Slot, int] | None]


class Question:
    """keys: in the order in which they decide; modes: what is done with each, see bind.lua.

    slot: what they are bound to, if they belong nowhere. version: of the table that says so.
    since: from which versions on affinities to blue and green count. dead: a slot without an
    eligible endpoint, which keys leave; empty for none. then: who is told, with the slot that
    decides; None: nobody, or no more.
    """

    __slots__ = ("_ends", "_timer", "dead", "keys", "modes", "since", "slot", "then", "version")

    def __init__(
        self,
        keys: Sequence[Key],
        modes: str,
        slot: Slot,
        version: int,
        since: tuple[int, int],
        dead: str = "",
    ) -> None:
        self.keys = keys
        self.modes = modes
        self.slot = slot
        self.version = version
        self.since = since
        self.dead = dead
        self.then: Callable[[Slot], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends: Callable[[Question, Answer | None], None] = _nobody

    def wait(
        self,
        wait_s: float,
        then: Callable[[Slot], None],
        late: "Callable[[Question], None]",
    ) -> None:
        """Somebody waits for it, so long; then `late` is called in place of `then`."""
        self.then = then
        self._timer = asyncio.get_running_loop().call_later(wait_s, late, self)

    def ends_in(self, ends: "Callable[[Question, Answer | None], None]") -> None:
        """Whom the store tells; None: it failed."""
        self._ends = ends

    def answered(self, answer: Answer) -> None:
        """The store has answered."""
        self._ends(self, answer)

    def failed(self) -> None:
        """It will not."""
        self._ends(self, None)

    def tell(self, slot: Slot) -> None:
        """Tell who waits, once."""
        then = self.then
        self.leave()
        if then is not None:
            then(slot)

    def leave(self) -> None:
        """Nobody waits for it any more; it is carried out all the same."""
        self.then = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nobody(question: Question, answer: Answer | None) -> None:
    """Nobody is to be told."""
