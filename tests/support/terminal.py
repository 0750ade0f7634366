"""The command line as somebody at a terminal sees it."""

import asyncio
import os
import pty
import sys
from collections.abc import Mapping


async def on_terminal(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run `turnout` with these words; its exit code, and all that it has drawn."""
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "admin.cli", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=follower,
        env={**os.environ, **environment, "TERM": "xterm"},
    )
    os.close(follower)
    code = await process.wait()
    text = os.read(leader, 1 << 20).decode()
    os.close(leader)
    return code, text
