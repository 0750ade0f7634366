"""What a run leaves: one JSON document, a short Markdown page, and the table on the terminal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import ENOUGH_ROUNDS, Figure
from bench.plot import draw
from bench.rounds import Sample
from bench.scenarios.scenario import Scenario
from bench.stats import Spread

SCHEMA = 1
HEADINGS = ("proxy", "CPU", "quartiles", "rounds", "µs", "req/s", "p50 ms", "p99 ms", "busy")
"""CPU: per request, baseline = 1. rounds: valid of all. µs: of CPU. busy: share of the core."""
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. settings, machine, commit: as the JSON file shows them."""

    scenario: Scenario
    baseline: str
    figures: tuple[Figure, ...]
    settings: Mapping[str, object]
    machine: Mapping[str, object]
    commit: Mapping[str, object]
    versions: Mapping[str, str]

    @property
    def invalid(self) -> bool:
        """Whether a round could not be used."""
        return any(figure.faults for figure in self.figures)

    @property
    def counts(self) -> bool:
        """Whether there were enough rounds for a figure that is worth quoting."""
        return all(len(figure.ratios) >= ENOUGH_ROUNDS for figure in self.figures)


def document(outcome: Outcome) -> dict[str, object]:
    """The JSON document."""
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": outcome.commit,
        "machine": outcome.machine,
        "versions": outcome.versions,
        "settings": outcome.settings,
        "enough_rounds": outcome.counts,
        "scenarios": [
            {
                "name": outcome.scenario.name,
                "title": outcome.scenario.title,
                "figure": f"CPU time per {outcome.scenario.per}",
                "baseline": outcome.baseline,
                "proxies": [_proxy(figure) for figure in outcome.figures],
            }
        ],
    }


def _proxy(figure: Figure) -> dict[str, object]:
    written = asdict(figure)
    written["rounds"] = [_sample(sample) for sample in figure.samples]
    del written["samples"]
    return written


def _sample(sample: Sample) -> dict[str, object]:
    return {
        **asdict(sample),
        "cpu_us_per_request": sample.cpu_us_per_request,
        "requests_per_s": sample.requests_per_s,
        "busy": sample.busy,
    }


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """bench.json, bench.md and the plot; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "bench.json": json.dumps(document(outcome), indent=2, ensure_ascii=False) + "\n",
        "bench.md": markdown(outcome),
        "cpu-per-request.svg": draw(
            _title(outcome),
            _where(outcome),
            [(figure.title, figure.ratios) for figure in outcome.figures],
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """One row a proxy, under HEADINGS."""
    return [_row(figure) for figure in figures]


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = figure.ratio
    return (
        figure.title,
        _number(ratio, 2),
        f"{ratio.quartile_1:.2f}-{ratio.quartile_3:.2f}" if ratio else NOTHING,
        f"{len(figure.ratios)}/{len(figure.samples)}",
        _number(figure.cpu_us, 1),
        _number(figure.requests_per_s, 0),
        _number(figure.p50_us, 2, 1e-3),
        _number(figure.p99_us, 2, 1e-3),
        f"{figure.busy.median:.0%}" if figure.busy else NOTHING,
    )


def _number(figures: Spread | None, digits: int, scale: float = 1.0) -> str:
    return f"{figures.median * scale:,.{digits}f}" if figures else NOTHING


def remarks(outcome: Outcome) -> list[str]:
    """What a reader must know beside the table."""
    told = [f"{figure.title}, {fault}" for figure in outcome.figures for fault in figure.faults]
    if not outcome.counts:
        told.append(f"fewer than {ENOUGH_ROUNDS} valid rounds: a try, not a figure to quote")
    told.extend(
        f"{figure.title} had its core busy for {figure.busy.median:.0%} only: the load was not "
        "enough, or the machine was shared"
        for figure in outcome.figures
        if figure.busy and figure.busy.median < 0.9
    )
    return told


def markdown(outcome: Outcome) -> str:
    """The page that goes beside the JSON file."""
    lines = [
        f"# {_title(outcome)}",
        "",
        f"{_where(outcome)}; {_with(outcome)}. Median of paired rounds.",
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|---|{'---:|' * (len(HEADINGS) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows(outcome.figures)),
        "",
        *(f"- {remark}" for remark in remarks(outcome)),
    ]
    return "\n".join(lines).rstrip() + "\n\n![The same, drawn](cpu-per-request.svg)\n"


def show(outcome: Outcome, console: Console) -> None:
    """The table and the remarks on the terminal, 80 columns wide."""
    console.print(_title(outcome), style="bold", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in HEADINGS:
        left = heading == "proxy"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in rows(outcome.figures):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{_where(outcome)}\n{_with(outcome)}", style="dim", highlight=False, soft_wrap=True
    )
    for remark in remarks(outcome):
        console.print(f"! {remark}", style="yellow", highlight=False, soft_wrap=True)


def _title(outcome: Outcome) -> str:
    what = f"CPU time per {outcome.scenario.per}, {outcome.baseline} = 1.00"
    return f"{what}: {outcome.scenario.title}"


def _where(outcome: Outcome) -> str:
    """The commit and the machine, in one line."""
    identifier = str(outcome.commit.get("id", ""))[:10] or "no commit"
    changed = " with changes" if outcome.commit.get("changed") else ""
    machine = f"{outcome.machine['cpu']}, kernel {outcome.machine['kernel']}"
    return f"{identifier}{changed}; {machine}"


def _with(outcome: Outcome) -> str:
    """What was measured with what, in one line."""
    return ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
