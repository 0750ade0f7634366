"""Where the keys of a worker's requests belong: by its memory, else by the store, else its own word.

Rules:
1. What the store says counts for all workers: two that meet a key at once are told one slot.
2. A key that this worker has bound alone, because the store was away or slow, is written when it is
   back, if it is still unknown there; else the store's word is taken (a lost race).
3. Nobody waits for the store longer than `wait_ms`, and nobody at all while it is known to be away.
4. All is bounded: what is remembered, what waits, what is unwritten, and what is bound in a second.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from proxy.affinity.memory import Affinity, Memory
from proxy.affinity.question import BIND, DELETE, SEE, WRITE, Answer, Question
from proxy.affinity.rules import Key, Rules
from proxy.affinity.settings import AffinityStore
from proxy.observability import telemetry
from proxy.routing.model import Slot

_BURST_S: Final = 1.0
_EVER: Final = (0, 0)
"""Since when it counts what is written whatever is there."""


class Asked(Protocol):
    """The store. reachable: whether it is worth asking."""

    reachable: bool

    def ask(self, question: Question) -> None:
        """Answer it by and by, or fail it."""


class Away:
    """A store that never answers: before there is one, and where there is none."""

    reachable = False

    def ask(self, question: Question) -> None:
        """Fail it."""
        question.failed()


class Affinities:
    """See the module. cells: of the worker's block."""

    def __init__(self, rules: Rules, settings: AffinityStore, cells: "memoryview[int]") -> None:
        self.rules = rules
        self.store: Asked = Away()
        self._settings = settings
        self._cells = cells
        self._memory = Memory(settings.remembered)
        self._unwritten: OrderedDict[str, tuple[Key, Affinity]] = OrderedDict()
        self._waiting = 0
        self._may_bind = settings.first_per_s * _BURST_S
        self._filled = monotonic()

    def __repr__(self) -> str:
        known, unwritten = len(self._memory), len(self._unwritten)
        return f"<Affinities known={known} unwritten={unwritten} waiting={self._waiting}>"

    def find(
        self,
        keys: Sequence[Key],
        slot: Slot,
        version: int,
        since: tuple[int, int],
        dead: str,
        then: Callable[[Slot], None],
    ) -> Slot | Question:
        """Where a request with these keys goes; or the question, whose answer `then` is told.

        slot: where the table of this version sends it. since, dead: see `Question`.
        """
        now = monotonic()
        known, first, is_sure = self._known(keys, since, dead, now)
        if is_sure and known is not None:
            self._count(telemetry.AFFINITY_HITS)
            return known
        question = Question(keys, self._modes(keys, first), known or slot, version, since, dead)
        if not self.store.reachable or self._waiting >= self._settings.waiting:
            self._count(telemetry.AFFINITY_STORE_ERRORS)
            return self._alone(question, unwritten=True)
        self._ask(question, then)
        return question

    def bear(
        self, keys: Sequence[Key], slot: Slot, version: int, then: Callable[[Slot], None]
    ) -> Question | None:
        """Keys are born with an answer of this slot; the question if `then` is told.

        version: of the table that sent the request there.
        """
        question = Question(keys, WRITE * len(keys), slot, version, _EVER)
        now = monotonic()
        for key in keys:
            self._remember(key, slot, version, now, trusted=True)
        if not self.store.reachable or self._waiting >= self._settings.waiting:
            self._count(telemetry.AFFINITY_STORE_ERRORS)
            self._write_later(question)
            return None
        self._ask(question, then)
        return question

    def end(self, keys: Sequence[Key], slot: Slot) -> None:
        """These keys belong nowhere any more."""
        for key in keys:
            self._memory.forget(key.digest)
            self._unwritten.pop(key.digest, None)
        if keys and self.store.reachable:
            question = Question(keys, DELETE * len(keys), slot, 0, _EVER)
            self.store.ask(question)

    def unwritten(self) -> list[Question]:
        """What was bound while the store was away: to be written before all else."""
        waiting, self._unwritten = self._unwritten, OrderedDict()
        found = []
        for key, affinity in waiting.values():
            mode = WRITE if key.rule.is_born else BIND
            question = Question([key], mode, affinity.slot, affinity.version, _EVER)
            question.ends_in(self._ended)
            found.append(question)
        return found

    def sweep(self) -> None:
        """Show how many are remembered."""
        self._cells[telemetry.AFFINITIES] = len(self._memory)

    # ── by memory ─────────────────────────────────────────────────────────────────────────────

    def _known(
        self, keys: Sequence[Key], since: tuple[int, int], dead: str, now: float
    ) -> tuple[Slot | None, list[bool], bool]:
        """The slot of the first key that is known; which are; and whether the store need not be
        asked: it is trusted, and no key before it is unknown.
        """  # noqa: D205 - one sentence
        decided: Slot | None = None
        which: list[bool] = []
        is_sure = True
        for key in keys:
            found = self._memory.get(key.digest, now)
            good = found is not None and found.counts(since)
            good = good and found is not None and found.slot != dead
            which.append(good)
            if decided is None:
                if good and found is not None:
                    decided = found.slot
                    is_sure = is_sure and now < found.trusted
                else:
                    is_sure = False
        return decided, which, is_sure

    def _modes(self, keys: Sequence[Key], known: list[bool]) -> str:
        """A key that is born with an answer is bound by nothing else; but one that the store has
        lost is written again.
        """  # noqa: D205 - one sentence
        may_bind = self._refill() >= 1
        return "".join(
            [
                BIND if remembered or (may_bind and not key.rule.is_born) else SEE
                for key, remembered in zip(keys, known, strict=True)
            ]
        )

    def _alone(self, question: Question, *, unwritten: bool) -> Slot:
        """Decide without the store. unwritten: it is to be told later."""
        now = monotonic()
        for key, mode in zip(question.keys, question.modes, strict=True):
            found = self._memory.get(key.digest, now)
            if found is not None and found.counts(question.since):
                if found.slot != question.dead:
                    found.until = now + key.rule.ttl_s
                    continue
            elif mode == SEE:
                continue
            else:
                self._may_bind -= 1
            self._remember(key, question.slot, question.version, now, trusted=False)
        if unwritten:
            self._write_later(question)
        return question.slot

    def _remember(self, key: Key, slot: Slot, version: int, now: float, *, trusted: bool) -> None:
        ttl_s = key.rule.ttl_s
        trust_s = min(self._settings.trust_s, ttl_s / 2) if trusted else 0.0
        self._memory.put(key.digest, Affinity(slot, version, now + trust_s, now + ttl_s))

    # ── by the store ──────────────────────────────────────────────────────────────────────────

    def _ask(self, question: Question, then: Callable[[Slot], None]) -> None:
        self._waiting += 1
        question.ends_in(self._ended)
        question.wait(self._settings.wait_ms / 1000, then, self._late)
        self.store.ask(question)

    def _late(self, question: Question) -> None:
        """The store is too slow for who waits; it may answer yet."""
        self._count(telemetry.AFFINITY_STORE_ERRORS)
        self._tell(question, self._alone(question, unwritten=False))

    def _ended(self, question: Question, answer: Answer | None) -> None:
        """The store has answered, or failed."""
        in_time = question.then is not None
        if answer is None:
            if in_time:
                self._count(telemetry.AFFINITY_STORE_ERRORS)
            self._tell(question, self._alone(question, unwritten=True))
            return
        self._learn(question, answer, in_time=in_time)
        self._tell(question, answer.slot)

    def _tell(self, question: Question, slot: Slot) -> None:
        if question.then is not None:
            self._waiting -= 1
            question.tell(slot)

    def forget(self, question: Question) -> None:
        """Who waited for it has left."""
        if question.then is not None:
            self._waiting -= 1
            question.leave()

    def _learn(self, question: Question, answer: Answer, *, in_time: bool) -> None:
        now = monotonic()
        self._may_bind -= answer.bound
        for key, value in zip(question.keys, answer.values, strict=True):
            if value is None:
                self._memory.forget(key.digest)
                continue
            slot, version = value
            before = self._memory.get(key.digest, now)
            if before is not None and before.slot is not slot:
                moved = before.slot == question.dead
                self._count(telemetry.AFFINITY_MOVES if moved else telemetry.AFFINITY_RACES_LOST)
            self._remember(key, slot, version, now, trusted=True)
        if in_time and question.modes[0] != WRITE:
            was_known = answer.bound == 0 and any(value is not None for value in answer.values)
            self._count(telemetry.AFFINITY_HITS if was_known else telemetry.AFFINITY_MISSES)

    def _write_later(self, question: Question) -> None:
        now = monotonic()
        for key, mode in zip(question.keys, question.modes, strict=True):
            found = self._memory.get(key.digest, now)
            if mode == SEE or found is None:
                continue
            if len(self._unwritten) < self._settings.unwritten or key.digest in self._unwritten:
                self._unwritten[key.digest] = (key, found)

    # ── bounds and counts ─────────────────────────────────────────────────────────────────────

    def _refill(self) -> float:
        """How many keys may be bound at first sight now."""
        now = monotonic()
        rate = self._settings.first_per_s
        self._may_bind = min(rate * _BURST_S, self._may_bind + (now - self._filled) * rate)
        self._filled = now
        return self._may_bind

    def _count(self, cell: int) -> None:
        self._cells[cell] += 1
