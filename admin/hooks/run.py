"""Does one hook: a webhook, tried again where that can't do it twice, or a command, once.

Rules:
1. Tried again is only what surely was not done (nobody listened there) or what says that it may be
   asked again (429, 5xx), always under the same Idempotency-Key. A webhook that doesn't answer in
   time may have done it: its result is not known.
2. What is sent is signed if the hook has a secret: HMAC-SHA256 over time, key and body, so that
   nothing of it can be changed, nor sent again much later.
3. Secrets are looked up for each run, and are in no result.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from admin.hooks import process, webhook
from admin.hooks.model import Hook, HookResult, pauses
from admin.hooks.scrub import KEPT, scrub, secrets_of
from admin.hooks.webhook import WebhookError, lies_under
from admin.migrations.references import ReferenceFault, secret

log = structlog.get_logger(__name__)
SIGNATURE = "Turnout-Signature"
AGAIN = 429
READ_BYTES = 4 * KEPT
"""What is read of the output's end: what scrubbing takes away may leave less."""


async def run(
    hook: Hook,
    about: Mapping[str, object],
    effect_id: str,
    *,
    prefixes: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> HookResult:
    """Do it. about: what it is told, plain JSON. effect_id: the same for each try of one effect.

    prefixes: beginnings of URLs that may be called (`admin.step_urls`). Raises CancelledError only.
    """
    given = os.environ if environ is None else environ
    try:
        own = secret(hook.secret, given) if hook.secret else ""
    except ReferenceFault as fault:
        return HookResult(ok=False, detail=str(fault), tries=0)
    told = msgspec.json.encode({"hook": hook.name, "effect": effect_id, **about})
    if hook.command:
        return await _command(hook, told, effect_id, own, given)
    if not lies_under(hook.webhook, prefixes):
        return HookResult(ok=False, detail="the webhook lies under none of step_urls", tries=0)
    return await _webhook(hook, told, effect_id, own)


def signature(own: str, at: int, effect_id: str, body: bytes) -> str:
    """What `Turnout-Signature` says: t=SECONDS,v1=HEX, the HMAC-SHA256 of "t.key.body"."""
    signed = f"{at}.{effect_id}.".encode() + body
    return f"t={at},v1={hmac.new(own.encode(), signed, hashlib.sha256).hexdigest()}"


async def _webhook(hook: Hook, told: bytes, effect_id: str, own: str) -> HookResult:
    waits = [*pauses(hook.tries, hook.backoff_s), 0.0]
    for number, wait_s in enumerate(waits, 1):
        result, again = await _ask(hook, told, effect_id, own, number)
        if result.ok or not again or number == hook.tries:
            break
        log.info("a hook is tried again", hook=hook.name, fault=result.detail, wait_s=wait_s)
        await asyncio.sleep(wait_s)
    return result


async def _ask(
    hook: Hook, told: bytes, effect_id: str, own: str, number: int
) -> tuple[HookResult, bool]:
    """One try, and whether another may follow."""
    headers = {}
    if own:
        at = int(time.time())  # noqa: TID251 - a time that is signed
        headers[SIGNATURE] = signature(own, at, effect_id, told)
    try:
        status = await webhook.post(hook.webhook, effect_id, told, hook.timeout_s, headers)
    except WebhookError as error:
        result = HookResult(ok=False, detail=str(error), known=not error.sent, tries=number)
        return result, error.refused
    if 200 <= status < 300:
        return HookResult(ok=True, detail=f"the webhook answered {status}", tries=number), False
    # A fault in the middle of its work may have come after the work.
    known = status < 500
    detail = f"the webhook answered {status}"
    again = status == AGAIN or status >= 500
    return HookResult(ok=False, detail=detail, known=known, tries=number), again


async def _command(
    hook: Hook, told: bytes, effect_id: str, own: str, given: Mapping[str, str]
) -> HookResult:
    ours = {"TURNOUT_EFFECT": effect_id} | ({"TURNOUT_SECRET": own} if own else {})
    environ = process.environment(given, ours)
    hidden = [own, *secrets_of(given)]
    try:
        ended = await process.run(hook.command, told, environ, hook.timeout_s, READ_BYTES)
    except process.CommandError as error:
        tail = scrub(error.tail, hidden)
        return HookResult(ok=False, detail=str(error), output_tail=tail, known=not error.begun)
    tail = scrub(ended.tail, hidden)
    if ended.returncode < 0:  # somebody ended it in the middle
        detail = f"the command was ended by signal {-ended.returncode}"
        return HookResult(ok=False, detail=detail, output_tail=tail, known=False)
    ok = ended.returncode == 0
    return HookResult(ok, f"the command ended with {ended.returncode}", tail)
