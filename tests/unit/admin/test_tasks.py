"""A task that fails starts again, and closing ends even one that loses a cancellation."""

import asyncio

from admin import tasks
from admin.tasks import Tasks


async def test_a_task_that_fails_starts_again(monkeypatch):
    monkeypatch.setattr(tasks, "RESTART_PAUSE_S", 0.0)
    runs, again = 0, asyncio.Event()

    async def run():
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError
        again.set()

    group = Tasks()
    group.start("it", run)
    await again.wait()
    await group.close()
    assert runs == 2


async def test_closing_insists(monkeypatch):
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_S", 0.001)
    refusals = 0
    started = asyncio.Event()

    async def run():
        nonlocal refusals
        while True:
            try:
                started.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                refusals += 1
                if refusals == 2:
                    raise

    group = Tasks()
    group.start("it", run)
    await started.wait()
    await group.close()
    assert refusals == 2
