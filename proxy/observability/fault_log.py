"""The log of what endpoints did wrong: which one, what, how often.

Rules: at most one line a second for each endpoint, with the number of those left out, so that a
dead endpoint under load doesn't fill a disk; bounded in endpoints; nothing that a request or an
answer said, but the tenant and the request's id, escaped.
"""

import logging
from typing import Final

log = logging.getLogger("turnout.upstream")

_EVERY_S: Final = 1.0
_MAX_REMEMBERED: Final = 1024


class _Said:
    """at: when the last line was written; monotonic seconds. left_out: faults since."""

    __slots__ = ("at", "left_out", "what")

    def __init__(self, at: float) -> None:
        self.at = at
        self.left_out = 0
        self.what = ""


class FaultLog:
    """One worker's."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}

    def say(
        self, where: str, what: str, why: str, request_id: bytes, tenant: str, now: float
    ) -> None:
        """A fault. where: an endpoint, or a slot without one. now: monotonic seconds."""
        said = self._said.get(where)
        if said is None:
            if len(self._said) >= _MAX_REMEMBERED:
                self._tell_rest(now, all_of_them=True)
                self._said.clear()
            said = self._said[where] = _Said(now)
        elif now - said.at < _EVERY_S:
            said.left_out += 1
            said.what = what
            return
        else:
            self._tell(where, said)
        said.at = now
        log.warning(
            "%s: %s%s (request %s of tenant %s)",
            where,
            what,
            f": {why}" if why else "",
            ascii(request_id.decode("latin-1")),
            ascii(tenant) if tenant else "-",
        )

    def sweep(self, now: float) -> None:
        """Tell of those left out when no further fault has come. now: monotonic seconds."""
        if self._said:
            self._tell_rest(now, all_of_them=False)

    def _tell_rest(self, now: float, *, all_of_them: bool) -> None:
        for where, said in list(self._said.items()):
            if all_of_them or now - said.at >= _EVERY_S:
                self._tell(where, said)
                del self._said[where]

    def _tell(self, where: str, said: _Said) -> None:
        if said.left_out:
            log.warning("%s: %d more faults, the last %s", where, said.left_out, said.what)
            said.left_out = 0
