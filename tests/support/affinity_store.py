"""The affinities of an installation in memory, as bind.lua keeps them in Redis.

Rule: it answers in a later pass of the loop, never from within `ask`. Its behaviour is compared
with Redis' by tests/integration/proxy/test_affinity_store.py.
"""

import asyncio

from proxy.affinity.question import BIND, DELETE, SEE, WRITE, Answer, Question
from proxy.routing.model import Slot


class AffinityStoreFake:
    """See the module. values: by digest. holds: questions wait until `answers` is called."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: list[Question] = []
        self.values: dict[str, tuple[Slot, int]] = {}
        self.reachable = True
        self.holds = False
        self.asked = 0

    def ask(self, question: Question) -> None:
        self._asked.append(question)
        self.asked += 1
        if not self.holds:
            self._loop.call_soon(self.answers)

    def answers(self) -> None:
        """Answer what was asked."""
        asked, self._asked = self._asked, []
        for question in asked:
            question.answered(self.carry_out(question))

    def fails(self) -> None:
        """Be away from now on, and fail what was asked."""
        self.reachable = False
        asked, self._asked = self._asked, []
        for question in asked:
            question.failed()

    def returns(self, unwritten: list[Question]) -> None:
        """Be reachable again; what was bound meanwhile comes first."""
        self.reachable = True
        for question in unwritten:
            self.ask(question)

    def carry_out(self, question: Question) -> Answer:
        """As bind.lua."""
        pairs = list(zip(question.keys, question.modes, strict=True))
        decided = question.slot
        for key, mode in reversed(pairs):
            slot = self._counting(key.digest, question)
            if slot is not None and slot != question.dead and mode in {SEE, BIND}:
                decided = slot
        bound, values = 0, []
        for key, mode in pairs:
            slot = self._counting(key.digest, question)
            own = None if slot is None else self.values[key.digest]
            moves = slot is not None and slot == question.dead
            if mode == DELETE:
                self.values.pop(key.digest, None)
                own = None
            elif mode == WRITE or moves or (mode == BIND and slot is None):
                bound += mode == BIND and slot is None
                own = self.values[key.digest] = (decided, question.version)
            values.append(own)
        return Answer(decided, bound, values)

    def _counting(self, digest: str, question: Question) -> Slot | None:
        value = self.values.get(digest)
        if value is None or value[1] < question.since[value[0] is Slot.GREEN]:
            return None
        return value[0]
