"""The load generator: the script it runs, its command line, and what it prints.

wrk counts completed requests itself. Its report for people is rounded; the script's `done`
prints one exact line more, and only that line is read.
"""

import json
import subprocess
from dataclasses import dataclass

from bench.processes import pinned

MARK = "turnout-bench "
_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nturnout-bench {"requests":%d,"bytes":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""


class LoadError(Exception):
    """wrk did not run to its end, or printed something else."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk. Latencies in µs; errors: kind → how many, none of them zero.

    "status" counts answers that are neither 2xx nor 3xx; the others are socket errors.
    """

    requests: int
    duration_s: float
    bytes_read: int
    p50_us: int
    p99_us: int
    errors: dict[str, int]


def script(request: str) -> str:
    """A whole wrk script. request: Lua that defines `request`, and `init` if it needs one."""
    return request + _DONE


def command(url: str, script_path: str, connections: int, seconds: int) -> list[str]:
    """The command line: one thread, connections kept open. wrk takes whole seconds only."""
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    return ["wrk", *options, "--timeout", "5s", "--script", script_path, url]


def parse(text: str) -> Load:
    """What wrk printed → the load. LoadError when the script's line is missing or damaged."""
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise LoadError(f"wrk printed no result: {text[-200:].strip()!r}")
    try:
        said = json.loads(lines[0].removeprefix(MARK))
        errors = {kind: said[kind] for kind in ("connect", "read", "write", "status", "timeout")}
        return Load(
            said["requests"],
            said["duration_us"] / 1e6,
            said["bytes"],
            said["p50_us"],
            said["p99_us"],
            {kind: count for kind, count in errors.items() if count},
        )
    except (ValueError, KeyError) as error:
        raise LoadError(f"wrk's result can't be read: {error}") from error


def run(argv: list[str], core: int, limit_s: float) -> Load:
    """Run wrk on this core. LoadError when it fails or takes longer than limit_s."""
    try:
        done = subprocess.run(
            pinned(argv, core), capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"wrk did not end within {limit_s:.0f} s") from None
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {(done.stderr or done.stdout)[-200:].strip()}")
    return parse(done.stdout)
