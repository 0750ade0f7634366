"""The other parts as releases know them: see `ports`."""

from collections.abc import Mapping, Sequence
from typing import Any

from admin.releases import course
from admin.releases.go import Said
from admin.releases.model import Release
from admin.releases.ports import HookResult, Judgement


class NoGates:
    """No gates."""

    names: frozenset[str] = frozenset()

    async def measure(self, release: Release, names: Sequence[str]) -> Sequence[Said]:  # noqa: ARG002, D102 - the port's
        return [Said(name, "unmeasured", "there is no such gate") for name in names]


class NoMonitor:
    """Nothing is watched."""

    def judge(self, release: Release) -> Judgement:  # noqa: ARG002, D102 - the port's
        return Judgement()


class NoHooks:
    """No hooks."""

    names = course.Hooks()

    def on_unknown(self, name: str) -> str:  # noqa: ARG002, D102 - the port's
        return ""

    async def run(self, name: str, about: Mapping[str, Any], effect: str) -> HookResult:  # noqa: ARG002, D102 - the port's
        return HookResult(False, "there is no such hook")


class Nobody:
    """Nobody is told."""

    def tell(self, event: str, about: Mapping[str, Any]) -> None:
        """Nobody is."""
