"""Tasks with a name, an owner, and somewhere their error goes."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("turnout.tasks")

_CANCEL_TRIES = 5
_CANCEL_S = 1.0


class Tasks:
    """The background tasks of one owner. A task that fails is logged; none is forgotten."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run it until it ends or `cancel` is called."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}: {name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Cancel what still runs and wait until it has ended, within bounds.

        More than once: asyncio.wait_for, through which redis-py sends, loses a cancellation that
        comes as the sending ends (before Python 3.12).
        """
        for _ in range(_CANCEL_TRIES):
            running = [task for task in self._running if task is not asyncio.current_task()]
            if not running:
                return
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=_CANCEL_S)
        log.error("tasks that can't be cancelled: %s", [task.get_name() for task in running])

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task failed: %s", task.get_name(), exc_info=task.exception())
