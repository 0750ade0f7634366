"""Why a handshake failed, in words, and not for each connection again."""

import logging
import ssl
import time
from typing import Final

log = logging.getLogger("turnout.tls")

_SAY_AGAIN_S: Final = 60.0
_MAX_SAID: Final = 1_000


def reason_of(error: Exception) -> str:
    """OpenSSL's word for it; it holds nothing of keys or of what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


class Failures:
    """Logs each reason at most once a minute for each subject: under load all would say it."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}

    def say(self, subject: str, error: Exception) -> None:
        """subject: whose handshake failed."""
        reason, now = reason_of(error), time.monotonic()
        if now - self._said.get((subject, reason), -_SAY_AGAIN_S) < _SAY_AGAIN_S:
            return
        if len(self._said) >= _MAX_SAID:
            self._said.clear()
        self._said[subject, reason] = now
        log.error("%s: %s", subject, reason)
