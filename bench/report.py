"""What a run leaves: one JSON document, a Markdown page, the plots, and the table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import plot
from bench.figures import Figure, Verdict
from bench.load import CPU
from bench.outcome import Measured, Outcome, Result
from bench.rounds import Reading
from bench.scenarios.scenario import Measure, Target
from bench.stats import Spread

SCHEMA = 2
HEADINGS = (
    "figure, proxy", "value", "ratio", "quartiles", "rounds",
    "req/s", "p50 ms", "p99 ms", "busy", "target", "",
)  # fmt: skip
"""ratio: to the baseline, or to the proxy named after the /. rounds: valid of all. busy: share of
the core. The last one has the verdict."""
NOTHING = ""
MET = {True: "met", False: "falls short", None: "not measured"}
PLOTS = ("cpu-per-request.svg", "others.svg")
BUSY = 0.9
"""A core used less than this is remarked on."""
WIDTH = 128
"""Columns of the table, at least; a terminal that has fewer breaks its lines."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; a heading has its first cell alone. met: colours the verdict."""

    cells: tuple[str, ...]
    heading: bool = False
    met: bool | None = None


# ── the JSON document ─────────────────────────────────────────────────────────────────────────


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
        "missing": outcome.missing,
        "scenarios": [_scenario(result) for result in outcome.results],
    }


def _scenario(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "title": result.title,
        "baseline": result.baseline.proxy if result.baseline else None,
        "notes": result.notes,
        "faults": result.faults,
        "measures": [_measure(measured) for measured in result.measured],
    }


def _measure(measured: Measured) -> dict[str, object]:
    measure = measured.measure
    return {
        "name": measure.name,
        "label": measure.label,
        "unit": measure.unit,
        "proxies": [_proxy(figure, measure) for figure in measured.figures],
        "targets": [_verdict(verdict) for verdict in measured.verdicts],
    }


def _proxy(figure: Figure, measure: Measure) -> dict[str, object]:
    return {
        "proxy": figure.name.proxy,
        "title": figure.name.title,
        "version": figure.name.version,
        "ratio": figure.ratio and asdict(figure.ratio),
        "ratios": figure.ratios,
        "value": figure.value and asdict(figure.value),
        "rounds": [_reading(reading, measure) for reading in figure.readings],
        "beside": {what: asdict(spread) for what, spread in figure.beside.items()},
        "faults": figure.faults,
    }


def _reading(reading: Reading, measure: Measure) -> dict[str, object]:
    return {
        "value": reading.values.get(measure.name),
        "faults": reading.faults,
        "beside": dict(reading.beside),
    }


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "proxy": verdict.name.proxy,
        "against": verdict.target.against,
        "at_most": verdict.target.at_most,
        "measured": verdict.measured and asdict(verdict.measured),
        "ratios": verdict.ratios,
        "met": verdict.met,
    }


# ── the table ─────────────────────────────────────────────────────────────────────────────────


def rows(result: Result) -> list[Row]:
    """The scenario's rows: for each measure a heading, a row a proxy, a row a further target."""
    found = []
    for measured in result.measured:
        found.append(Row((measured.measure.label,), heading=True))
        shown = set()
        for figure in measured.figures:
            verdict = _beside(measured, figure, result)
            shown.add(id(verdict))
            found.append(_row(figure, measured.measure, verdict))
        rest = (verdict for verdict in measured.verdicts if id(verdict) not in shown)
        found.extend(_further(verdict) for verdict in rest)
    return found


def _beside(measured: Measured, figure: Figure, result: Result) -> Verdict | None:
    """The verdict that speaks of the row's own value or ratio."""
    own = {None, result.baseline.proxy if result.baseline else None}
    return next(
        (
            verdict
            for verdict in measured.verdicts
            if verdict.name == figure.name and verdict.target.against in own
        ),
        None,
    )


def _row(figure: Figure, measure: Measure, verdict: Verdict | None) -> Row:
    value, ratio, beside = figure.value, figure.ratio, figure.beside
    valid = sum(reading.valid for reading in figure.readings)
    cells = (
        f"  {figure.name.title}",
        f"{value.median:.{measure.digits}f} {measure.unit}" if value else NOTHING,
        f"{ratio.median:.2f}" if ratio else NOTHING,
        _quartiles(ratio, 2) if ratio else _quartiles(value, measure.digits),
        f"{valid}/{len(figure.readings)}",
        _number(beside, "requests_per_s", 0),
        _number(beside, "p50_us", 2, 1e-3),
        _number(beside, "p99_us", 2, 1e-3),
        f"{beside['busy'].median:.0%}" if "busy" in beside else NOTHING,
        _target(verdict.target, measure) if verdict else NOTHING,
        MET[verdict.met] if verdict else NOTHING,
    )
    return Row(cells, met=verdict.met if verdict else None)


def _further(verdict: Verdict) -> Row:
    against = verdict.against.title if verdict.against else NOTHING
    measured = verdict.measured
    cells = (
        f"  {verdict.name.title} / {against}",
        NOTHING,
        f"{measured.median:.2f}" if measured else NOTHING,
        _quartiles(measured, 2),
        str(len(verdict.ratios)),
        *[NOTHING] * 4,
        f"≤ {verdict.target.at_most:.2f}",
        MET[verdict.met],
    )
    return Row(cells, met=verdict.met)


def _target(target: Target, measure: Measure) -> str:
    if target.against is None:
        return f"≤ {target.at_most:g} {measure.unit}"
    return f"≤ {target.at_most:.2f}"


def _quartiles(figures: Spread | None, digits: int) -> str:
    if figures is None:
        return NOTHING
    return f"{figures.quartile_1:.{digits}f}-{figures.quartile_3:.{digits}f}"


def _number(beside: Mapping[str, Spread], what: str, digits: int, scale: float = 1.0) -> str:
    return f"{beside[what].median * scale:,.{digits}f}" if what in beside else NOTHING


def remarks(outcome: Outcome) -> list[str]:
    """What a reader must know beside the table."""
    told = [fault for result in outcome.results for fault in result.faults]
    told.extend(outcome.missing)
    told.extend(note for result in outcome.results for note in result.notes)
    if not outcome.counts:
        told.append("too few valid rounds in one place or another: a try, not figures to quote")
    told.extend(filter(None, (_idle_cores(result) for result in outcome.results)))
    return told


def _idle_cores(result: Result) -> str:
    """Who left a tenth of its core unused; empty when nobody did."""
    idle = {
        figure.name.title: figure.beside["busy"].median
        for measured in result.measured
        for figure in measured.figures
        if "busy" in figure.beside and figure.beside["busy"].median < BUSY
    }
    if not idle:
        return ""
    low, high = min(idle.values()), max(idle.values())
    share = f"{low:.0%}" if len(idle) == 1 else f"{low:.0%} to {high:.0%}"
    return (
        f"{result.name}: {', '.join(idle)} had the core busy for {share} only: the load was not "
        "enough, or the machine was shared"
    )


def markdown(outcome: Outcome) -> str:
    """The page that goes beside the JSON file."""
    headings = (*HEADINGS[:-1], "verdict")
    lines = [
        "# Turnout beside its peers",
        "",
        f"{_where(outcome)}; {_with(outcome)}. Medians of paired rounds.",
        "",
        f"| {' | '.join(headings)} |",
        f"|---|{'---:|' * (len(HEADINGS) - 1)}",
        *(_line(row) for result in outcome.results for row in rows(result)),
        "",
        *(f"- {remark}" for remark in remarks(outcome)),
        "",
        *(f"![{name.removesuffix('.svg')}]({name})" for name in PLOTS),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = row.cells + (NOTHING,) * (len(HEADINGS) - len(row.cells))
    first = f"**{cells[0]}**" if row.heading else cells[0].strip()
    return f"| {' | '.join((first, *cells[1:]))} |"


def show(outcome: Outcome, console: Console) -> None:
    """The table and the remarks on the terminal."""
    console.width = max(console.width, WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(HEADINGS):
        left = number in {0, len(HEADINGS) - 1}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    colours = {True: "green", False: "red", None: ""}
    for result in outcome.results:
        for row in rows(result):
            style = "bold" if row.heading else ""
            *cells, verdict = row.cells + (NOTHING,) * (len(HEADINGS) - len(row.cells))
            colour = colours[row.met]
            table.add_row(*cells, f"[{colour}]{verdict}" if colour else verdict, style=style)
    console.print(table)
    places = f"{_where(outcome)}\n{_with(outcome)}"
    console.print(places, style="dim", highlight=False, soft_wrap=True)
    for remark in remarks(outcome):
        console.print(f"! {remark}", style="yellow", highlight=False, soft_wrap=True, markup=False)


def _where(outcome: Outcome) -> str:
    """The commit and the machine, in one line."""
    identifier = str(outcome.commit.get("id", ""))[:10] or "no commit"
    changed = " with changes" if outcome.commit.get("changed") else ""
    machine = f"{outcome.machine['cpu']}, kernel {outcome.machine['kernel']}"
    return f"{identifier}{changed}; {machine}"


def _with(outcome: Outcome) -> str:
    """What was measured with what, in one line."""
    return ", ".join(f"{name} {version}" for name, version in outcome.versions.items())


# ── the files ─────────────────────────────────────────────────────────────────────────────────


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """bench.json, bench.md and the plots; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    small = [result for result in outcome.results if result.name == "small"]
    others = [result for result in outcome.results if result.name != "small"]
    texts = {
        "bench.json": json.dumps(document(outcome), indent=2, ensure_ascii=False) + "\n",
        "bench.md": markdown(outcome),
        PLOTS[0]: plot.draw("CPU time per small request", _where(outcome), panels(small)),
        PLOTS[1]: plot.draw("The other figures", _where(outcome), panels(others)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def panels(results: Sequence[Result]) -> list[plot.Panel]:
    """A panel for each measure: CPU time as ratios to the baseline, the rest in its unit."""
    found = []
    for result in results:
        for measured in result.measured:
            measure, baseline = measured.measure, result.baseline
            relative = measure.name == CPU and baseline is not None
            unit = f"{baseline.title} = 1" if relative and baseline else measure.unit
            bars = [
                plot.Bar(
                    figure.name.title,
                    _dots(figure, measure, relative=relative),
                    base=figure.name == baseline,
                )
                for figure in measured.figures
            ]
            found.append(plot.Panel(measure.label, unit, bars, _mark(measured, relative=relative)))
    return found


def _dots(figure: Figure, measure: Measure, *, relative: bool) -> Sequence[float]:
    if relative:
        return figure.ratios
    return [reading.values[measure.name] for reading in figure.readings if reading.valid]


def _mark(measured: Measured, *, relative: bool) -> float | None:
    """Where the line is drawn: at the baseline, or at the target."""
    if relative:
        return 1.0
    targets = measured.measure.targets
    return targets[0].at_most if targets and targets[0].against is None else None
