"""Log-ins that failed: who has to wait, and how many rows they leave. All of it is bounded.

Rule: waiting stops nobody who shows a good token: one who guesses must not lock others out.
"""

from hashlib import sha256

from admin.api.auth import WINDOW_S, Failures
from admin.login.config import Login


class FailedLogins:
    """Counts them in windows of a minute, at this admin."""

    def __init__(self, settings: Login) -> None:
        self._addresses = Failures(settings.failed_per_minute)
        self._accounts = Failures(settings.failed_per_minute_account)
        self._rows_left = self._rows = settings.failed_rows_per_minute
        self._rows_since = -WINDOW_S
        self._left_out = 0

    def wait_s(self, address: str, account: str, at: float) -> float:
        """How long this address or account has to wait, 0 if neither has. at: monotonic seconds."""
        by_account = self._accounts.wait_s(_key(account), at) if account else 0.0
        return max(self._addresses.wait_s(address, at), by_account)

    def add(self, address: str, account: str, at: float) -> None:
        """One more. account: as far as it was named, whether or not that was true."""
        self._addresses.add(address, at)
        if account:
            self._accounts.add(_key(account), at)

    def row(self, at: float) -> int | None:
        """How many were left out before, if this one may leave a row; None: it is left out."""
        if at - self._rows_since >= WINDOW_S:
            self._rows_left, self._rows_since = self._rows, at
        if self._rows_left == 0:
            self._left_out += 1
            return None
        self._rows_left -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def _key(account: str) -> str:
    """Of one length, whatever was given."""
    return sha256(account.encode("utf-8", "replace")).hexdigest()
