"""A test whose time is over ends, also while its loop waits: what a signal's handler raises gets there."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.conftest import LeakReportingLoop


def test_what_a_signals_handler_raises_ends_what_the_loop_waits_for():
    loop = LeakReportingLoop()

    def over(*_: Any) -> None:
        pytest.fail("the time is over")

    async def wait_for_ever() -> None:
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        await asyncio.Event().wait()

    before = signal.signal(signal.SIGUSR1, over)
    try:
        with pytest.raises(asyncio.CancelledError, match="the time is over"):
            loop.run_until_complete(wait_for_ever())
    finally:
        signal.signal(signal.SIGUSR1, before)
        loop.close()
