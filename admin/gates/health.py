"""Health: every endpoint of a slot answers, says that its parts are well, and runs the version."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from admin.gates.asking import Ask, Asker, NoAnswerError, Reply, Table, asking
from admin.gates.bounded import bounded
from admin.gates.config import Health, Http
from admin.gates.model import NAMED, About, Finding, Measured, Outcome
from admin.gates.pointer import AbsentError, at
from admin.gates.words import fill, words_of
from admin.migrations.version import Version, VersionError
from proxy.routing.model import Endpoint, Slot


class HealthGate:
    """Asks each endpoint of standby, as the desired table has them.

    of_active: asks the slot that was active instead, as once it has been brought to the same version.
    """

    def __init__(
        self,
        settings: Health,
        http: Http,
        table: Table,
        *,
        name: str = "health",
        of_active: bool = False,
    ) -> None:
        self.name = name
        self._settings, self._http, self._table, self._of_active = settings, http, table, of_active

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        slot = about.active if self._of_active else about.standby
        endpoints = (await self._table()).endpoints[slot]
        if not endpoints:
            return Measured(Outcome.FAILED, f"{slot} has no endpoints", {"endpoints": 0})
        async with asking(self._http) as asker:
            faults = await asyncio.gather(
                *(self._look(asker, endpoint, about, slot) for endpoint in endpoints)
            )
        bad = [
            (str(endpoint), each) for endpoint, each in zip(endpoints, faults, strict=True) if each
        ]
        evidence = {"endpoints": len(endpoints), "faults": dict(bad[:NAMED])}
        if not bad:
            detail = f"all {len(endpoints)} endpoints of {slot} are well and run {about.version}"
            return Measured(Outcome.PASSED, detail, evidence)
        where, first = bad[0]
        detail = (
            f"{len(bad)} of {len(endpoints)} endpoints of {slot} are not well: {where}: {first[0]}"
        )
        return Measured(Outcome.FAILED, detail, evidence)

    async def _look(self, asker: Asker, endpoint: Endpoint, about: About, slot: Slot) -> list[str]:
        """What is wrong with one endpoint."""
        ask = Ask("GET", self._settings.path)
        try:
            reply = await asker.ask(endpoint, ask, self._settings.timeout_s)
        except NoAnswerError as error:
            return [str(error)]
        return list(self._faults(reply, about, slot))

    def _faults(self, reply: Reply, about: About, slot: Slot) -> Iterator[str]:
        own = self._settings
        if not 200 <= reply.status < 300:
            yield f"it answers {own.path} with {reply.status}"
        if not (own.parts or own.version or own.environment):
            return
        try:
            document = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield f"{own.path} is no JSON"
            return
        for pointer, good in own.parts.items():
            yield from _compared(document, pointer, lambda said, good=good: said in good)
        if own.version:
            yield from _compared(document, own.version, lambda said: same(said, about.version))
        if own.environment:
            words = words_of(about) | {"slot": str(slot)}
            wanted = fill(own.environment_is, words)
            yield from _compared(document, own.environment, lambda said: said == wanted)


def _compared(document: Any, pointer: str, is_good: Any) -> Iterator[str]:
    """What is wrong with one field."""
    try:
        said = at(document, pointer)
    except AbsentError:
        yield f"{pointer} is missing"
        return
    if isinstance(said, bool):
        said = str(said).lower()
    if not isinstance(said, str | int | float):
        yield f"{pointer} is no plain value"
    elif not is_good(str(said)):
        yield f"{pointer} is {str(said)[:40]!r}"


def same(said: str, version: str) -> bool:
    """Whether two texts name one version: v1.3.0 and 1.3.0 do, build metadata aside."""
    try:
        return Version.parse(said) == Version.parse(version)
    except VersionError:
        return said == version
