"""`python -m admin.demo.deploy FOLDER standby|active`: the demo's platform, as its releases call it.

A hook of the releases runs this. It is told of the release on its standard input. It has the slot's
instances end, and returns once those that the demo starts in their place are healthy. The hook's
time-out is its only one.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admin.demo.files import keep_version

POLL_S = 0.05


def main(argv: Sequence[str]) -> int:
    """Bring the release's version to the slot that has this role in it. The exit code."""
    folder, role = Path(argv[0]), argv[1]
    release = json.load(sys.stdin)
    slot, version = release[role], release["version"]
    try:
        before = _pids(folder, slot)
        keep_version(folder, slot, version)
        for pid in before.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        # The demo writes the new processes down once they are healthy.
        while any(before[name] == pid for name, pid in _pids(folder, slot).items()):
            time.sleep(POLL_S)
    except FileNotFoundError:
        sys.stderr.write("the demo has ended\n")
        return 1
    sys.stdout.write(f"{slot} runs {version}\n")
    return 0


def _pids(folder: Path, slot: str) -> dict[str, int]:
    """The slot's instances and their processes. FileNotFoundError: the demo has ended."""
    demo: dict[str, Any] = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    return {name: pid for name, pid in demo["pids"].items() if name.startswith(f"{slot}-")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
