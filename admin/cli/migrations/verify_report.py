"""What a person reads of a proof."""

from collections.abc import Iterable, Sequence

from admin.cli.output import counted, milliseconds, say, show_table
from admin.migrations.proof.evidence import strongest
from admin.migrations.proof.model import (
    Apart,
    CommandRun,
    ContractRun,
    Finding,
    Proof,
    Severity,
)

_APART_SHOWN = 5
_OUTPUT_LINES = 20
_SQL_SHOWN = 60
_QUERY_SHOWN = 200


def report(proof: Proof, *, strict: bool) -> None:
    """All of it, what was found last."""
    _statements(proof)
    _tried(proof)
    for note in proof.notes:
        say(f"note: {note}")
    for each in proof.findings:
        _finding(each)
    say(verdict(proof, strict=strict))


def verdict(proof: Proof, *, strict: bool) -> str:
    """The last line."""
    errors = sum(each.severity is Severity.ERROR for each in proof.findings)
    warnings = len(proof.findings) - errors
    beside = f", {counted(warnings, 'warning')}" if warnings else ""
    if proof.is_proven(strict=strict):
        tests = " and the command" if proof.commands else ""
        work = counted(proof.counts.planned, "query").replace("querys", "queries")
        return f"proven: {work}{tests} work as before{beside}"
    return f"not proven: {counted(errors, 'error')}{beside}"


def _statements(proof: Proof) -> None:
    if not proof.ran:
        return
    rows = [
        (
            f"{each.point.path}:{each.point.line}",
            _short(each.point.sql, _SQL_SHOWN),
            milliseconds(each.ms),
            f"{each.locks[0].mode} on {each.locks[0].relation}" if each.locks else None,
            ", ".join(each.rewritten) or None,
            each.rows,
        )
        for each in proof.ran
    ]
    show_table(["where", "statement", "took", "strongest lock", "rewritten", "rows"], rows)
    say(f"strongest lock of all: {strongest(proof.ran) or 'none'}")


def _tried(proof: Proof) -> None:
    counts = proof.counts
    if counts.given:
        say(
            f"{counts.planned} of {counts.given} queries planned before; with their writes, "
            f"{counted(counts.trials, 'trial')} worked before"
        )
    _apart(proof.apart)
    if counts.new:
        say(f"{counts.new} queries of the new version")
    for undo in proof.undone:
        say(
            f"undo {undo.path}: {'the schema is as it was' if undo.equal else 'the schema differs'}"
        )
    for contract in proof.contracts:
        say(_contract(contract))
    for run in proof.commands:
        _command(run)


def _contract(run: ContractRun) -> str:
    if run.breaks_old:
        said = f"breaks {run.breaks_old} queries of the old version"
    else:
        said = "breaks no query of the old version: it may be declared later than it must be"
    return f"contract {run.path} (requires app >= {run.requires}): {said}"


def _command(run: CommandRun) -> None:
    code = "took too long" if run.exit_code is None else f"ended with {run.exit_code}"
    say(f"command {run.command}: {code} after {run.seconds:.1f} s")
    if run.exit_code != 0:
        for line in run.output.splitlines()[-_OUTPUT_LINES:]:
            say(f"  | {line}")


def _apart(apart: Sequence[Apart]) -> None:
    """What says nothing of the migrations."""
    if not apart:
        return
    say(f"{len(apart)} said apart, for they tell nothing of the migrations:")
    for each in apart[:_APART_SHOWN]:
        say(f"  {each.source}: {_short(each.query, _SQL_SHOWN)}: {each.reason}")
    if len(apart) > _APART_SHOWN:
        say(f"  and {len(apart) - _APART_SHOWN} more: --json has them all")


def _finding(found: Finding) -> None:
    for line in _lines(found):
        say(line)


def _lines(found: Finding) -> Iterable[str]:
    yield f"{found.severity.value}: {found.kind.value}: {found.message}"
    if found.query:
        calls = f", {found.calls} calls" if found.calls > 1 else ""
        yield f"  query: {_short(found.query, _QUERY_SHOWN)} ({found.source}{calls})"
    if found.point:
        where = f"{found.point.path}:{found.point.line}"
        yield f"  broken by {where}: {_short(found.point.sql, _SQL_SHOWN)}"
    if found.mended_by:
        yield f"  mended by {found.mended_by}, but broken until then"


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
