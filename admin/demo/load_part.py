"""The load as a part of the demo: it has our terminal, and is told what happens by its stdin."""

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from admin.demo.parts import Process, spawn


class Load(Process):
    """`python -m admin.demo.load …`."""

    def __init__(
        self,
        log: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: IO[bytes] | None,
    ) -> None:
        """output: where its board goes, None for our own stdout."""
        super().__init__("load", log, arguments, lambda: True, environment)
        self._output = output

    def tell(self, line: str) -> bool:
        """Have it show a line among its events; False if it can't."""
        process = self._process
        if process is None or process.stdin is None or not self.running:
            return False
        # The pipe is not waited for: a board that reads nothing must not hold up the demo.
        with contextlib.suppress(OSError):
            return os.write(process.stdin.fileno(), f"{line}\n".encode()) > 0
        return False

    def close(self) -> None:
        """Forget the process that was, and its pipe."""
        super().close()
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        process = spawn(
            self._arguments,
            self._environment,
            stdout=self._output,
            stderr=log,
            stdin=subprocess.PIPE,
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        os.set_blocking(process.stdin.fileno(), False)
        return process
