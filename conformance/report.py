"""What a run leaves: conformance.json, conformance.md, and the table on the terminal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.machine import commit
from conformance.peers.peer import Peer
from conformance.rows.row import PROXIED
from conformance.run import Result
from conformance.vectors import Judged

SCHEMA = 1
OURS = "turnout"
NOT_ASKED = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: of rows, or of vectors. missing: name → why a proxy is not in it."""

    peers: Sequence[Peer]
    missing: Mapping[str, str]
    seed: int
    seconds: float
    rows: Sequence[Result] = ()
    vectors: Sequence[Judged] = ()

    @property
    def passed(self) -> bool:
        """Whether all of Turnout's are as required."""
        rows = [each.passed for each in self.rows if each.proxy == OURS]
        return all(rows) and all(each.passed for each in self.vectors if each.proxy == OURS)

    def scores(self) -> dict[str, dict[str, str]]:
        """Proxy → file or "rows" → "passed/all"."""
        found: dict[str, dict[str, str]] = {}
        for peer in self.peers:
            kinds: dict[str, list[bool]] = {}
            for result in self.rows:
                if result.proxy == peer.name:
                    kinds.setdefault("rows", []).append(result.passed)
            for judged in self.vectors:
                if judged.proxy == peer.name:
                    kinds.setdefault(judged.file, []).append(judged.passed)
            found[peer.name] = {kind: f"{sum(all_)}/{len(all_)}" for kind, all_ in kinds.items()}
        return found


def document(outcome: Outcome) -> dict[str, object]:
    """The JSON document."""
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {peer.name: peer.version() for peer in outcome.peers},
        "missing": dict(outcome.missing),
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 1),
        "passed": outcome.passed,
        "scores": outcome.scores(),
        "rows": [_row(result) for result in outcome.rows],
        "vectors": [_vector(judged) for judged in outcome.vectors],
    }


def _row(result: Result) -> dict[str, object]:
    return {
        "id": result.row.id,
        "case": result.row.case,
        "required": result.row.words,
        "proxy": result.proxy,
        "passed": result.passed,
        "got": {name: got.seen for name, (got, _) in result.runs.items()},
        "faults": result.faults,
    }


def _vector(judged: Judged) -> dict[str, object]:
    return {
        "file": judged.file,
        "id": judged.vector.id,
        "expected": judged.vector.expect,
        "ref": judged.vector.ref,
        "proxy": judged.proxy,
        "passed": judged.passed,
        "got": judged.got,
        "faults": list(judged.faults),
        "reason": judged.reason,
    }


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """conformance.json and conformance.md; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = "vectors" if outcome.vectors else "conformance"
    texts = {
        f"{kind}.json": json.dumps(document(outcome), indent=2, ensure_ascii=False) + "\n",
        f"{kind}.md": markdown(outcome),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. cells: proxy → (passed, what it gave); a proxy not asked is left out."""

    case: str
    row: str
    required: str
    cells: Mapping[str, tuple[bool, str]]


def lines(outcome: Outcome) -> list[Line]:
    """One a row, or one a vector, in the order of the files."""
    found: dict[tuple[str, str], Line] = {}
    for result in outcome.rows:
        at = result.row
        line = found.setdefault((at.case, at.id), Line(at.case, at.id, at.words, {}))
        _add(line, result.proxy, result.passed, result.seen)
    for judged in outcome.vectors:
        vector = judged.vector
        line = found.setdefault(
            (judged.file, vector.id), Line(judged.file, vector.id, vector.expect, {})
        )
        told = judged.got if not judged.faults else "; ".join(judged.faults)
        _add(line, judged.proxy, judged.passed, f"{told} (explained)" if judged.reason else told)
    return list(found.values())


def _add(line: Line, proxy: str, passed: bool, seen: str) -> None:
    cells = line.cells
    assert isinstance(cells, dict)
    cells[proxy] = (passed, seen)


def by_case(outcome: Outcome) -> list[tuple[str, ...]]:
    """Case, number of rows, and for each proxy how many are as required and which are not."""
    cases: dict[str, list[Line]] = {}
    for line in lines(outcome):
        cases.setdefault(line.case, []).append(line)
    return [
        (case, str(len(of_case)), *(_count(of_case, peer.name) for peer in outcome.peers))
        for case, of_case in cases.items()
    ]


def _count(of_case: Sequence[Line], proxy: str) -> str:
    asked = [line for line in of_case if proxy in line.cells]
    if not asked:
        return NOT_ASKED
    failed = [line.row for line in asked if not line.cells[proxy][0]]
    told = f"{len(asked) - len(failed)}/{len(asked)}"
    return f"{told}: not {', '.join(failed)}" if failed else told


def markdown(outcome: Outcome) -> str:
    """The page: scores, then every line."""
    names = [peer.title for peer in outcome.peers]
    page = [
        "# Conformance",
        "",
        f"{_with(outcome)}. Seed {outcome.seed}, {outcome.seconds:.0f} s.",
        "",
        *(f"- {told}" for told in summary(outcome)),
        "",
        f"| case | rows | {' | '.join(names)} |",
        f"|---|---:|{'---|' * len(names)}",
        *(f"| {' | '.join(map(_escaped, cells))} |" for cells in by_case(outcome)),
        "",
        "## Row by row",
        f"| case | row | required | {' | '.join(names)} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    for line in lines(outcome):
        cells = [_cell(line, peer.name) for peer in outcome.peers]
        page.append(
            f"| {' | '.join(map(_escaped, [line.case, line.row, line.required, *cells]))} |"
        )
    page.extend(["", *(f"- {reason}" for reason in reasons(outcome))])
    return "\n".join(page).rstrip() + "\n"


def _cell(line: Line, proxy: str) -> str:
    if proxy not in line.cells:
        return NOT_ASKED
    passed, seen = line.cells[proxy]
    return seen if passed else f"✗ {seen}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def summary(outcome: Outcome) -> list[str]:
    """The scores, one line a proxy; then who is missing."""
    titles = {peer.name: peer.title for peer in outcome.peers}
    told = [
        f"{titles[name]}: " + ", ".join(f"{kind} {score}" for kind, score in scores.items())
        for name, scores in outcome.scores().items()
    ]
    without = [peer.title for peer in outcome.peers if outcome.rows and PROXIED not in peer.sites]
    told.extend(f"{title} has no PROXY protocol yet: its rows are left out" for title in without)
    return [*told, *(f"{name} is left out: {why}" for name, why in outcome.missing.items())]


def reasons(outcome: Outcome) -> list[str]:
    """Why some of Turnout's vectors are not as expected, by id."""
    ours = [each for each in outcome.vectors if each.proxy == OURS and each.reason]
    return [f"{each.vector.id}: {each.reason}" for each in ours]


def show(outcome: Outcome, console: Console, *, everything: bool) -> None:
    """The table. everything: also the lines that all proxies have as required."""
    table = Table(title="required and got", title_justify="left", show_lines=False)
    for heading in ("row", "required", *(peer.title for peer in outcome.peers)):
        table.add_column(heading, overflow="fold")
    case = ""
    for line in lines(outcome):
        if line.case != case:
            case = line.case
            table.add_section()
            table.add_row(f"[bold]{escape(case)}[/bold]")
        shown = [_styled(line, peer.name, everything) for peer in outcome.peers]
        table.add_row(escape(line.row), escape(line.required), *shown)
    console.print(table)
    for told in [*reasons(outcome), _with(outcome), f"seed {outcome.seed}", *summary(outcome)]:
        console.print(told, highlight=False, soft_wrap=True, markup=False)


def _styled(line: Line, proxy: str, everything: bool) -> str:
    if proxy not in line.cells:
        return NOT_ASKED
    passed, seen = line.cells[proxy]
    if passed:
        return f"[green]✓[/green] {escape(seen)}" if everything else "[green]✓[/green]"
    return f"[red]✗ {escape(seen)}[/red]"


def _with(outcome: Outcome) -> str:
    return ", ".join(f"{peer.title} {peer.version()}" for peer in outcome.peers)
