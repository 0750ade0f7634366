"""Tells all targets of an event; never waits, never raises."""

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from time import monotonic

import structlog

from admin.notify import sending
from admin.notify.config import Notify, Target
from admin.notify.lane import FAILED, Count, Lane
from admin.notify.templates import Message, Templates, message

log = structlog.get_logger(__name__)


class Notifier:
    """The targets of the settings. count: see `lane.Count`. environ: where references are looked up."""

    def __init__(
        self,
        settings: Notify,
        templates: Templates,
        count: Count,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._templates, self._count = settings, templates, count
        self._environ = os.environ if environ is None else environ
        self._lanes = [(target, self._lane(target)) for target in settings.targets]

    def tell(self, event: str, about: Mapping[str, object]) -> None:
        """Tell those who want to hear of this event. about: by the words of `templates.WORDS`."""
        for target, lane in self._lanes:
            if target.events and event not in target.events:
                continue
            try:
                template = self._templates.of(event)
                if template is not None:
                    lane.put(message(template, event, about, self._settings.link))
            except Exception as error:  # noqa: BLE001 - a release does not fail because of it
                self._count(target.name, FAILED)
                log.warning(
                    "a notification is lost", target=target.name, fault=type(error).__name__
                )

    async def close(self) -> None:
        """Give what is left a moment (`close_s`), then leave it."""
        deadline = monotonic() + self._settings.close_s
        lanes = [lane for _, lane in self._lanes]
        await asyncio.gather(*(asyncio.to_thread(lane.close, deadline) for lane in lanes))

    def _lane(self, target: Target) -> Lane:
        own = self._settings
        send = partial(self._send, target.url)
        return Lane(
            *(target.name, send, self._count),
            most=own.queue,
            timeout_s=own.timeout_s,
            prepare=sending.prepare,
        )

    def _send(self, url: str, told: Message) -> None:
        sending.send(url, told, self._settings.timeout_s, self._environ)
