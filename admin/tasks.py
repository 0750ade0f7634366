"""Background tasks that have a name, an owner and somewhere their error goes.

Rule: a task that fails is logged and started again after a pause; it never ends unseen. The
owner closes the group and waits for all of it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)
RESTART_PAUSE_S = 0.5
CANCEL_AGAIN_S = 0.2
CANCEL_TRIES = 25


class Tasks:
    """The long-running tasks of one owner."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run for as long as the group is open; `run` may return to end its task."""
        task = asyncio.create_task(_keep(name, run), name=name)  # noqa: TID251 - this is the owner
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._forget(name, task))

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]

    async def close(self) -> None:
        """End all tasks and wait for them."""
        left = set(self._tasks.values())
        self._tasks.clear()
        for _ in range(CANCEL_TRIES):
            if not left:
                return
            # Once is not always enough: redis-py loses a cancellation while it connects.
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
        log.error("tasks don't end", tasks=sorted(task.get_name() for task in left))


async def _keep(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            log.exception("task failed, starts again", task=name)
            await asyncio.sleep(RESTART_PAUSE_S)
        else:
            return
