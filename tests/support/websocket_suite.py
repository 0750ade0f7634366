"""Autobahn's WebSocket cases, run against one endpoint directly and through Turnout.

    python -m tests.support.websocket_suite [CASE …] [--all] [--without CASE] [--at-once 4]

It prints each case with both outcomes, and ends with 1 if a pair differs. The cases are those of
the Autobahn test suite, run from outside by kosoku's client. What is compared is what that
client saw: the verdicts, what came, how it was closed, by whom. Whether the endpoint passes is
not the question. A few cases are races in the endpoint itself: where a pair differs the case is
run directly some more times, and each outcome that comes up counts as the endpoint's own.
"""

import argparse
import asyncio
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import kosoku
import uvloop

from admin.embedded import EmbeddedRedis
from proxy.routing.change import SetEndpoints
from proxy.routing.model import Endpoint, Slot
from tests.support.fleet import routing_at, settings, start_fleet
from tests.support.processes import Children

BOUNDED = (
    *("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *("9.1.1", "9.1.2", "9.2.2", "9.3.5", "9.4.5", "9.5.5", "9.7.2", "9.8.2"),
    *("12.1.1", "12.2.3", "12.3.2", "13.1.1", "13.3.2", "13.5.1", "13.7.1"),
)
"""What takes seconds: all but most of the long ones of chapters 9 (limits), 12 and 13 (deflate)."""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client saw of one case."""

    verdict: str
    closing: str
    code: int | None
    reason: str | None
    clean: bool
    dropped_by_client: bool
    frames: tuple[tuple[str, int], ...]
    received: str

    def __str__(self) -> str:
        frames = " ".join(f"{opcode}x{count}" for opcode, count in self.frames)
        how = "clean" if self.clean else "cut"
        return f"{self.verdict}, {self.code} {how}, {frames or 'no frames'}"


@dataclass(frozen=True, slots=True)
class Compared:
    """One case. direct: every outcome without the proxy; through: the one with it."""

    case: str
    direct: tuple[Outcome, ...]
    through: Outcome

    @property
    def same(self) -> bool:
        return self.through in self.direct

    def __str__(self) -> str:
        mark = " " if self.same else "≠"
        return f"{mark} {self.case:10} | {self.direct[-1]!s:42} | {self.through}"


async def run(port: int, cases: Sequence[str], without: Sequence[str], at_once: int) -> Any:
    """Run the cases against this port; the outcome of each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the case files leave files open
        try:
            results = await kosoku.run_fuzzingclient(
                f"ws://127.0.0.1:{port}/", list(cases) or None, list(without) or None, at_once
            )
        except kosoku.FailureError as failure:
            results = failure.results
    return {result.case_id: _outcome(result) for result in results}


def _outcome(result: Any) -> Outcome:
    frames = tuple(sorted((str(op), count) for op, count in result.rx_frame_stats.items()))
    return Outcome(
        verdict=result.behavior.value,
        closing=result.behavior_close.value,
        code=result.remote_close_code,
        reason=result.remote_close_reason,
        clean=result.was_clean,
        dropped_by_client=result.dropped_by_me,
        frames=frames,
        received=sha256(repr(result.received).encode()).hexdigest()[:16],
    )


async def compare(
    direct: int,
    through: int,
    cases: Sequence[str],
    *,
    without: Sequence[str] = (),
    at_once: int = 4,
) -> list[Compared]:
    """Run all cases at both ports."""
    own: Mapping[str, Outcome] = await run(direct, cases, without, at_once)
    others = await run(through, cases, without, at_once)
    assert own.keys() == others.keys()
    found = []
    for case, other in others.items():
        outcomes = [own[case]]
        for _ in range(_TRIES):
            if other in outcomes:
                break
            outcomes += (await run(direct, [case], (), 1)).values()
        found.append(Compared(case, tuple(outcomes), other))
    return found


async def _suite(options: argparse.Namespace, folder: Path) -> int:
    children = Children(folder)
    async with AsyncExitStack() as stack:
        stack.callback(children.stop)
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        routing = await stack.enter_async_context(routing_at(redis.url))
        fleet = await start_fleet(children, settings(folder, redis.url))
        port = await echo(children)
        address = (Endpoint("127.0.0.1", port),)
        version = await routing.change(*(SetEndpoints(slot, address) for slot in Slot))
        await routing.acked(version, fleet.workers_wanted)
        await fleet.serving()
        compared = await compare(
            port, fleet.port, options.cases, without=options.without, at_once=options.at_once
        )
    print(f"  {'case':10} | {'direct':42} | through Turnout")
    for each in compared:
        print(each)
    different = sum(not each.same for each in compared)
    print(f"{len(compared)} cases, {len(compared) - different} the same, {different} different")
    return int(different > 0)


async def echo(children: Children) -> int:
    """Start the endpoint; its port."""
    child = children(
        sys.executable,
        "-m",
        "tests.support.websocket_echo",
        cwd=Path(__file__).parents[2],
        name="echo",
    )
    return int((await child.line(r"^listening on (\d+)$"))[1])


def main() -> int:
    """Run the suite."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help="as in 5.* or 9.1.1; default: what takes a minute")
    parser.add_argument("--all", action="store_true", help="chapters 12 and 13 whole too: long")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    if not options.cases and not options.all:
        options.cases = [*BOUNDED, "9.*"]
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_suite(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
