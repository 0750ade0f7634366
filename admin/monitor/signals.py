"""Figures from elsewhere: pushed by whoever has them, or asked of Prometheus.

Rules:
1. Only signals that the settings name are kept, each its latest reading: bounded whoever pushes.
2. A reading keeps its time. What is too old counts as unmeasured (`judge`), so that a source that fails is never
   mistaken for one that is well; here its failure is logged, once until it works again.
3. URL and bearer token are looked up for each round, and are in no log.
"""

import asyncio
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from admin.migrations.references import ReferenceFault, secret
from admin.monitor.model import Reading
from admin.monitor.settings import Settings, SignalSettings

log = structlog.get_logger(__name__)
_PATH: Final = "/api/v1/query"
_QUERIES_AT_ONCE: Final = 4


class UnknownSignalError(Exception):
    """The settings name no such signal."""


class AnswerError(Exception):
    """What Prometheus answered is no single number. The message has nothing of it."""


class Signals:
    """The latest reading of each signal."""

    def __init__(self, settings: Settings) -> None:
        self._of = {signal.name: signal for signal in settings.signals}
        self._latest: dict[str, Reading] = {}

    def put(self, name: str, value: float, at: float) -> None:
        """Take a reading; one that is older than the last is passed over. at: POSIX seconds.

        UnknownSignalError; ValueError: it is no finite number.
        """
        self.check(name, value)
        if not isfinite(at):
            raise ValueError("a reading has a time")
        before = self._latest.get(name)
        if before is None or at >= before.at:
            self._latest[name] = Reading(value, at)

    def check(self, name: str, value: float) -> None:
        """Whether it could be taken. UnknownSignalError; ValueError: it is no finite number."""
        if name not in self._of:
            raise UnknownSignalError(name)
        if not isfinite(value):
            raise ValueError("a reading is a finite number")

    def latest(self) -> Mapping[str, Reading]:
        """By name; those that were ever given."""
        return dict(self._latest)

    @property
    def settings(self) -> Mapping[str, SignalSettings]:
        """What is known of each."""
        return self._of


class Prometheus:
    """Asks for the signals that have a query, again and again. `run` never ends by itself."""

    def __init__(
        self,
        settings: Settings,
        signals: Signals,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """environ: where references of the kind env: are looked up; None: this process's."""
        self._settings, self._signals, self._environ = settings, signals, environ
        self._asked = [signal for signal in settings.signals if signal.query]
        self._failing: dict[str, str] = {}

    async def run(self) -> None:
        """Ask every `prometheus_interval_s`."""
        while self._asked:
            await self.look()
            await asyncio.sleep(self._settings.prometheus_interval_s)

    async def look(self) -> None:
        """Ask for each once. What fails is logged."""
        told = self._settings
        try:
            url = secret(told.prometheus_url, self._environ).rstrip("/") + _PATH
            headers = {}
            if told.prometheus_bearer:
                headers["Authorization"] = f"Bearer {secret(told.prometheus_bearer, self._environ)}"
        except ReferenceFault as fault:
            for signal in self._asked:
                self._failed(signal.name, str(fault))
            return
        timeout = ClientTimeout(total=told.prometheus_timeout_s)
        gate = asyncio.Semaphore(_QUERIES_AT_ONCE)
        async with ClientSession(headers=headers, timeout=timeout) as session:
            await asyncio.gather(*(self._ask(gate, session, url, each) for each in self._asked))

    async def _ask(
        self, gate: asyncio.Semaphore, session: ClientSession, url: str, signal: SignalSettings
    ) -> None:
        try:
            async with gate:
                value, at = await self._answer(session, url, signal.query)
            self._signals.put(signal.name, value, at)
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            self._failed(signal.name, type(error).__name__)
        except AnswerError as error:
            self._failed(signal.name, str(error))
        else:
            if self._failing.pop(signal.name, None) is not None:
                log.info("signal is back", signal=signal.name)

    async def _answer(self, session: ClientSession, url: str, query: str) -> tuple[float, float]:
        most = self._settings.prometheus_limit_bytes
        asking = session.post(url, data={"query": query}, allow_redirects=False)
        async with asking as response:
            if response.status != 200:
                raise AnswerError(f"the answer is {response.status}")
            body = b""
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > most:
                    raise AnswerError("the answer is too long")
        return number_in(body)

    def _failed(self, name: str, reason: str) -> None:
        if self._failing.get(name) != reason:
            log.warning("signal can't be had", signal=name, reason=reason)
        self._failing[name] = reason


def number_in(body: bytes) -> tuple[float, float]:
    """The number of an instant query's answer, and its time. AnswerError.

    A vector of one sample, or a scalar (prometheus.io/docs/prometheus/latest/querying/api).
    """
    try:
        document: Any = json.loads(body)
        data = document["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "vector":
            if len(result) != 1:
                raise AnswerError(f"the query gives {len(result)} samples, not one")
            result = result[0]["value"]
        elif kind != "scalar":
            raise AnswerError("the query gives neither a vector nor a scalar")
        at, value = float(result[0]), float(result[1])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise AnswerError("the answer is not Prometheus'") from None
    if not (isfinite(at) and isfinite(value)):
        raise AnswerError("the query gives no number")
    return value, at
