"""What a caller has done in the middle of a fenced switch: a webhook, or a configured command.

Rules: commands are argument lists that the settings name; the API can't bring its own. A webhook
gets the switch's name as its Idempotency-Key, so it can be asked again; a command can't. What a
command prints, or a webhook answers, is not kept: it may hold secrets.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from tempfile import TemporaryFile

import aiohttp
import msgspec

from admin.switches.model import Switch

KILL_S = 2.0
"""A command that is out of time gets this long after SIGTERM."""


class StepError(Exception):
    """The step failed; the message says how, and holds nothing that the step said."""


def document(switch: Switch) -> dict[str, object]:
    """What a step is told of its switch."""
    tenants = "all" if switch.tenants is None else sorted(switch.tenants)
    return {"switch": switch.name, "tenants": tenants, "held_version": switch.held}


async def webhook(url: str, switch: Switch, limit_s: float) -> None:
    """POST it to the URL; any 2xx is success. limit_s: seconds. StepError."""
    await post(url, switch.name, document(switch), limit_s)


async def post(url: str, name: str, told: Mapping[str, object], limit_s: float) -> None:
    """POST this under an Idempotency-Key; any 2xx is success. limit_s: seconds. StepError."""
    timeout = aiohttp.ClientTimeout(total=limit_s)
    headers = {"Idempotency-Key": name, "Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url,
                data=msgspec.json.encode(told),
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            status = answer.status
    except TimeoutError:
        raise StepError(f"the webhook did not answer within {limit_s:.1f} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise StepError(f"the webhook can't be asked ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise StepError(f"the webhook answered {status}")


async def command(arguments: Sequence[str], switch: Switch, limit_s: float) -> None:
    """Run it, told of the switch as JSON on its standard input; exit status 0 is success.

    Out of time, or cancelled, it and all that it started are ended. limit_s: seconds. StepError.
    """
    try:
        # A file, not a pipe: a command may end without reading what it is told.
        with TemporaryFile() as told:
            told.write(msgspec.json.encode(document(switch)))
            told.seek(0)
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=told,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(os.environ, switch),
            )
    except OSError as error:
        raise StepError(f"the command can't be started ({error.strerror})") from None
    try:
        async with asyncio.timeout(limit_s):
            await process.wait()
    except TimeoutError:
        raise StepError(f"the command did not end within {limit_s:.1f} s") from None
    finally:
        await _end(process)
    if process.returncode:
        raise StepError(f"the command ended with {process.returncode}")


def _environment(given: Mapping[str, str], switch: Switch) -> dict[str, str]:
    """Ours, without our own settings, for those hold secrets."""
    kept = {name: value for name, value in given.items() if not name.startswith("TURNOUT_")}
    return kept | {"TURNOUT_SWITCH": switch.name}


async def _end(process: asyncio.subprocess.Process) -> None:
    """Its whole group: SIGTERM, a moment, SIGKILL."""
    for each in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_S):
                await process.wait()
