"""Tells Redis now and then how many requests each tenant had, for the whole node.

It runs in the management process and reads what the workers publish anyway. Rules:
1. A figure is told at most once: what may have been told is not told again, so that Redis away, or
   slow, costs figures and nothing else.
2. What is told of a tenant is never too high: what the summary of its worker has lost of it
   (`proxy.observability.tenants`) is among the others.
3. Of several processes that look at the same workers the last to begin tells.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import Final

from proxy.observability import telemetry
from proxy.observability.settings import MetricsSettings
from proxy.observability.telemetry import Block, Telemetry
from proxy.observability.tenants import read
from proxy.routing.traffic import OTHERS
from proxy.store import UNREACHABLE, Store, close, script

log = logging.getLogger("turnout.traffic")

KEPT_MS: Final = 2 * 3_600_000
"""How long a minute's figures are kept: longer than the hour that is asked for."""
_MINUTE_S: Final = 60


class Reporter:
    """See the module. timeout_s: for each answer of Redis."""

    def __init__(
        self, store: Store, settings: MetricsSettings, timeout_s: float, shared: Telemetry
    ) -> None:
        self._store = store
        self._settings = settings
        self._timeout_s = timeout_s
        self._telemetry = shared
        self._in_vain = False
        # Claimed before it looks: whoever told before tells nothing of what comes from now on.
        shared.supervisor[telemetry.REPORTER] = os.getpid()
        self._looks = [Look(block) for block in shared.blocks]

    async def report(self) -> None:
        """Tell, for ever; returns at once where nothing is to be told."""
        while self._settings.traffic_s:
            await asyncio.sleep(self._settings.traffic_s)
            await self.tell()

    async def tell(self) -> None:
        """Tell what has come since the last time, unless another does."""
        figures = self.gather()
        if figures and self._telemetry.supervisor[telemetry.REPORTER] == os.getpid():
            await self._tell(figures)

    def gather(self) -> Counter[str]:
        """The requests since the last time, by tenant."""
        figures: Counter[str] = Counter()
        for look in self._looks:
            figures.update(look.again())
        return +figures

    async def _tell(self, figures: Mapping[str, int]) -> None:
        client = self._store.connect(self._timeout_s, self._timeout_s)
        try:
            seconds, _ = await client.time()
            key = self._store.keys.traffic(seconds // _MINUTE_S)
            told = [word for pair in figures.items() for word in pair]
            most = self._settings.traffic_tenants
            await client.eval(script("traffic"), 1, key, most, KEPT_MS, OTHERS, *told)
        except UNREACHABLE as error:
            if not self._in_vain:
                log.warning("the figures of traffic are lost: %s", type(error).__name__)
            self._in_vain = True
        else:
            self._in_vain = False
        finally:
            await close(client)


class Look:
    """One worker's block, and what was seen there last."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._counted = 0
        self._requests: dict[str, int] = {}
        self.again()

    def again(self) -> dict[str, int]:
        """What has come since, by tenant; of tenants that aren't listed under `OTHERS`."""
        published = read(self._block)
        if published.counted <= self._counted:
            return {}
        before, self._requests = self._requests, {e.tenant: e.requests for e in published.entries}
        grown = {
            # Who was left out and came back has begun anew.
            tenant: now - before.get(tenant, 0) if now >= before.get(tenant, 0) else now
            for tenant, now in self._requests.items()
        }
        others = published.counted - self._counted - sum(grown.values())
        self._counted = published.counted
        return {**grown, OTHERS: others}
