"""Memory of processes, from /proc/<pid>/smaps_rollup."""

from collections.abc import Iterable
from pathlib import Path


def parse_pss(text: str) -> int:
    """The Pss line of smaps_rollup, proc(5), in bytes. ValueError when there is none."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    raise ValueError("has no line of Pss")


def pss(pids: Iterable[int]) -> int:
    """Proportional set size in bytes, summed: shared pages are split among who shares them.

    ProcessLookupError when one of the processes is gone.
    """
    try:
        return sum(
            parse_pss(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")) for pid in pids
        )
    except FileNotFoundError as error:
        raise ProcessLookupError(f"{error.filename}: the process is gone") from None
