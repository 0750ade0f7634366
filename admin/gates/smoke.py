"""Smoke and integration tests: a list of checks against standby.

Rules: checks that write run one after another, after all others, and only if those are good: a slot
that can't even be read is not written to. The first failures are told, all are counted.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from admin.gates.asking import Ask, Asker, NoAnswerError, Table, asking, endpoints_of
from admin.gates.bounded import bounded
from admin.gates.checks import Check, CheckList
from admin.gates.config import Checks, Http
from admin.gates.expect import faults
from admin.gates.files import FileFault, read
from admin.gates.model import NAMED, About, Finding, Measured, Outcome, UnmeasuredError
from admin.gates.requests import resolved, tenants_of
from admin.gates.words import fill, fill_all, words_of
from admin.hooks import process
from admin.hooks.scrub import KEPT, scrub, secrets_of
from proxy.routing.model import Endpoint

READ_BYTES = 4 * KEPT


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed. where: the endpoint, and the tenant."""

    check: str
    where: str
    why: str


@dataclass(slots=True)
class _Run:
    """What was done so far. tails: check → the end of its command's output."""

    done: int
    failures: list[Failure]
    tails: dict[str, str]
    skipped: int = 0


class ChecksGate:
    """A list of checks. name: "smoke" or "integration"."""

    def __init__(self, name: str, settings: Checks, http: Http, table: Table) -> None:
        self.name = name
        self._settings, self._http, self._table = settings, http, table

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, about: About) -> Measured:
        checks = await load(self._settings.file, self.name)
        endpoints = await endpoints_of(self._table, about.standby)
        run = _Run(0, [], {})
        async with asking(self._http) as asker:
            safe = [check for check in checks if not check.writes]
            await self._all(run, [self._cases(each, about, endpoints) for each in safe], asker)
            for check in checks:
                if not check.writes:
                    continue
                if run.failures:
                    run.skipped += 1
                    continue
                for case in self._cases(check, about, endpoints):
                    await case.go(run, asker)
        return found(run, len(checks), about)

    async def _all(self, run: _Run, cases: list[list["_Case"]], asker: Asker) -> None:
        """At once, as far as the asker lets; commands one after another."""
        async with asyncio.TaskGroup() as group:
            for case in (case for of_check in cases for case in of_check if case.check.request):
                group.create_task(case.go(run, asker), name=f"{self.name} check")
        for case in (case for of_check in cases for case in of_check if case.check.command):
            await case.go(run, asker)

    def _cases(self, check: Check, about: About, endpoints: tuple[Endpoint, ...]) -> list["_Case"]:
        """A check, for each of its tenants and endpoints."""
        tenants = tenants_of(check.tenants, about, self._http.tenants)
        if check.command:
            return [_Case(check, about, endpoints, tuple(filter(None, tenants)))]
        asked = endpoints if check.of_each else endpoints[:1]
        return [_Case(check, about, (each,), (name,)) for each in asked for name in tenants]


@dataclass(frozen=True, slots=True)
class _Case:
    """A check at one endpoint for one tenant; or a command, which is told of all of them."""

    check: Check
    about: About
    endpoints: tuple[Endpoint, ...]
    tenants: tuple[str, ...]

    async def go(self, run: _Run, asker: Asker) -> None:
        """Do it, and note what failed."""
        if self.check.request is None:
            whys, where = await self._command(run), "the command"
        else:
            whys = await self._request(asker)
            where = " for ".join(filter(None, [str(self.endpoints[0]), self.tenants[0]]))
        run.done += 1
        run.failures += [Failure(self.check.name, where, why) for why in whys]

    async def _request(self, asker: Asker) -> list[str]:
        check, tenant = self.check, self.tenants[0]
        words = words_of(self.about, tenant, str(self.endpoints[0]))
        try:
            reply = await asker.ask(self.endpoints[0], _ask(check, tenant, words), check.timeout_s)
        except NoAnswerError as error:
            return [str(error)]
        whys = faults(check.expect, reply.status, reply.headers, reply.body, words)
        within = check.expect.within_ms
        if within is not None and reply.took_ms > within:
            whys.append(f"it took {reply.took_ms:.0f} ms, not {within:g}")
        return whys if reply.whole else [*whys, "the body is longer than gates.http.body_bytes"]

    async def _command(self, run: _Run) -> list[str]:
        check, about = self.check, self.about
        endpoints = [str(each) for each in self.endpoints]
        told = {
            "check": check.name,
            "release": about.release,
            "version": about.version,
            "from_version": about.from_version,
            "slot": str(about.standby),
            "endpoints": endpoints,
            "tenants": list(self.tenants),
        }
        environ = process.environment(
            os.environ,
            {
                "TURNOUT_SLOT": str(about.standby),
                "TURNOUT_VERSION": about.version,
                "TURNOUT_ENDPOINTS": ",".join(endpoints),
            },
        )
        words = words_of(about, "", endpoints[0])
        arguments = [fill(each, words) for each in check.command]
        limit_s = check.timeout_s
        try:
            body = msgspec.json.encode(told)
            ended = await process.run(arguments, body, environ, limit_s, READ_BYTES)
        except process.CommandError as error:
            run.tails[check.name] = scrub(error.tail, secrets_of(os.environ))
            return [str(error)]
        if ended.returncode:
            run.tails[check.name] = scrub(ended.tail, secrets_of(os.environ))
            return [f"the command ended with {ended.returncode}"]
        return []


def _ask(check: Check, tenant: str, words: dict[str, str]) -> Ask:
    """A check's request as it is sent."""
    request = check.request
    assert request is not None  # noqa: S101 - commands don't come here
    headers = resolved(request.headers, words)
    body = None if request.body is None else fill(request.body, words).encode()
    if request.json is not None:
        body = msgspec.json.encode(fill_all(request.json, words))
        headers.setdefault("Content-Type", "application/json")
    return Ask(request.method, fill(request.path, words), tenant, headers, body)


async def load(file: str, name: str) -> tuple[Check, ...]:
    """The checks of a file. UnmeasuredError if there is none, or it can't be used."""
    if not file:
        raise UnmeasuredError(f"no checks are set: set releases.gates.{name}.file")
    try:
        return (await asyncio.to_thread(read, Path(file), CheckList)).check
    except FileFault as fault:
        raise UnmeasuredError(str(fault)) from None


def found(run: _Run, checks: int, about: About) -> Measured:
    """What the checks came to."""
    evidence: dict[str, object] = {"checks": checks, "done": run.done, "failed": len(run.failures)}
    if not run.failures:
        detail = f"{checks} checks passed on {about.standby}, {run.done} times in all"
        return Measured(Outcome.PASSED, detail, evidence)
    evidence["failures"] = [
        {"check": each.check, "where": each.where, "why": each.why} for each in run.failures[:NAMED]
    ]
    if run.tails:
        evidence["output"] = dict(list(run.tails.items())[:3])
    names = list(_once(run.failures))
    first = run.failures[0]
    skipped = f"; {run.skipped} that write were not run" if run.skipped else ""
    detail = (
        f"{len(names)} of {checks} checks failed on {about.standby}:"
        f" {first.check} ({first.where}): {first.why}{skipped}"
    )
    return Measured(Outcome.FAILED, detail, evidence)


def _once(failures: list[Failure]) -> Iterator[str]:
    return iter(dict.fromkeys(each.check for each in failures))


class ReadyGate:
    """Whether the smoke tests are there and can be read."""

    name = "smoke-ready"

    def __init__(self, settings: Checks) -> None:
        self._settings = settings

    async def measure(self, about: About) -> Finding:
        """See `Gate`."""
        return await bounded(self.name, self._settings.limit_s, self._measure(about))

    async def _measure(self, _: About) -> Measured:
        checks = await load(self._settings.file, "smoke")
        return Measured(Outcome.PASSED, f"{len(checks)} checks are ready", {"checks": len(checks)})
