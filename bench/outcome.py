"""A finished run, as the report shows and writes it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import Figure, Name, Verdict
from bench.scenarios.scenario import Measure


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of a scenario: its figures, the baseline's first, and its verdicts."""

    measure: Measure
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario.

    baseline: None where the others' figures stand alone. enough: valid rounds that make it more
    than a try. notes: who is left out or measured otherwise, and why. broken: why there is no
    figure at all; empty as a rule.
    """

    name: str
    title: str
    baseline: Name | None
    enough: int
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]
    broken: str = ""

    @property
    def faults(self) -> tuple[str, ...]:
        """What went wrong, whoever it was."""
        first = self.measured[0].figures if self.measured else ()
        found = [f"{figure.name.title}, {fault}" for figure in first for fault in figure.faults]
        return (*found, self.broken) if self.broken else tuple(found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run. settings, machine, commit: as the JSON file shows them. missing: peers not here."""

    results: tuple[Result, ...]
    missing: tuple[str, ...]
    settings: Mapping[str, object]
    machine: Mapping[str, object]
    commit: Mapping[str, object]
    versions: Mapping[str, str]

    @property
    def invalid(self) -> bool:
        """Whether a round could not be used."""
        return any(result.faults for result in self.results)

    @property
    def counts(self) -> bool:
        """Whether each figure has enough valid rounds to be worth quoting."""
        return all(
            sum(reading.valid for reading in figure.readings) >= result.enough
            for result in self.results
            for measured in result.measured
            for figure in measured.figures
        )
