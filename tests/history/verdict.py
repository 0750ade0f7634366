"""What a checker says: of each invariant how much was judged, what broke it, and the figures.

Pure.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10
"""Violations of one invariant that are shown."""


@dataclass(slots=True)
class Result:
    """One invariant. judged: cases that could have broken it. unjudged: those about which the
    history says too little. violations: in words.
    """

    judged: int = 0
    unjudged: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """Of one history. results: by invariant. figures: what is worth knowing beside."""

    seed: int
    results: dict[str, Result]
    figures: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether no invariant is broken."""
        return not any(result.violations for result in self.results.values())

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        results = {name: asdict(result) for name, result in self.results.items()}
        return {
            "good": self.good,
            "seed": self.seed,
            "invariants": results,
            "figures": self.figures,
        }

    def table(self) -> str:
        """As people read it."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{'invariant':44}{'judged':>8}{'unjudged':>10}{'broken':>8}"
        for name, result in self.results.items():
            broken = len(result.violations)
            yield f"{name:44}{result.judged:8}{result.unjudged:10}{broken:8}"
        for name, result in self.results.items():
            for violation in result.violations[:SHOWN]:
                yield f"  {name}: {violation}"
            if len(result.violations) > SHOWN:
                yield f"  {name}: and {len(result.violations) - SHOWN} more"
        yield ""
        for name, figure in self.figures.items():
            yield f"{name}: {figure}"
        yield f"seed {self.seed}: " + ("every invariant held" if self.good else "BROKEN")
