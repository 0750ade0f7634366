"""Linting: from migrations and a context to a report. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.catalogue.model import Catalogue, Migration
from admin.migrations.lint.action import Action, actions_of
from admin.migrations.lint.context import Context, Size
from admin.migrations.lint.learning import learn
from admin.migrations.lint.locking import NOTHING, locking
from admin.migrations.lint.model import (
    Compatibility,
    Cost,
    Finding,
    Linted,
    Locking,
    Report,
    Verdict,
    longest,
    worst,
)
from admin.migrations.lint.reached import reached
from admin.migrations.lint.rule import Scene
from admin.migrations.lint.rules import RULES
from admin.migrations.lint.schema import Schema
from admin.migrations.lint.suppression import suppress
from admin.migrations.version import Version

Place = tuple[str, int, int]
"""A statement's: file, line, column."""
Beside = Mapping[Place, Sequence[Finding]]
"""Findings of another program's, by the statements that they are about."""
NAMELESS = "V999999999.0.0__text.sql"
"""The file that a text without one is taken to be."""


def lint_text(
    sql: str,
    *,
    old: tuple[Version, ...] = (),
    sizes: Mapping[str, Size] | None = None,
    given: str = "",
) -> Report:
    """The report on one text. given: statements that made the schema before. CatalogueError."""
    schema = Schema()
    if given.strip():
        for migration in assemble({NAMELESS: given}).migrations:
            _learn_all(schema, migration)
    return lint(assemble({NAMELESS: sql}).migrations, Context(old, sizes or {}), schema)


def lint(
    migrations: Iterable[Migration],
    context: Context,
    schema: Schema | None = None,
    beside: Beside | None = None,
) -> Report:
    """The report on migrations, in this order.

    schema: what is there before the first. beside: None: no other program was asked.
    """
    schema = schema or Schema()
    found: list[Linted] = []
    for migration in migrations:
        schema.next_file()
        for place, statement in enumerate(migration.statements):
            following = migration.statements[place + 1 :]
            scene = Scene(statement, statement.node, schema, context, NOTHING, following)
            found.append(_judged(migration, scene, beside))
            learn(schema, statement.node)
    return Report(tuple(found))


def schema_of(catalogue: Catalogue, up_to: Version) -> Schema:
    """What the versions up to this one have made."""
    schema = Schema()
    for migration in catalogue.between(None, up_to):
        _learn_all(schema, migration)
    return schema


def _learn_all(schema: Schema, migration: Migration) -> None:
    for statement in migration.statements:
        learn(schema, statement.node)
    schema.next_file()


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is said of one action."""

    locking: Locking
    findings: tuple[Finding, ...]
    table: str


def _judged(migration: Migration, scene: Scene, beside: Beside | None) -> Linted:
    """A statement with its verdicts."""
    statement, context = scene.statement, scene.context
    parts = [_of_action(action, scene) for action in _actions(scene)]
    place = (migration.path, statement.line, statement.column)
    theirs = (beside or {}).get(place, ())
    findings = _without_doubles([*(each for part in parts for each in part.findings), *theirs])
    settled = [_settled(each, context, migration.requires) for each in findings]
    left = [each for each in settled if each is not None]
    kept, suppressed = suppress(statement, left, findings, squawked=beside is not None)
    strongest = max(parts, key=lambda part: part.locking.lock.rank)
    size = context.size(strongest.table)
    return Linted(
        file=migration.path,
        line=statement.line,
        column=statement.column,
        sql=statement.sql,
        compatibility=worst(each.compatibility for each in left),
        strongest=strongest.locking.lock,
        cost=longest(part.locking.cost for part in parts),
        findings=kept,
        suppressed=suppressed,
        table=strongest.table,
        size_bytes=size.bytes if size else None,
        estimate_s=_estimate(parts, strongest, context),
    )


def _actions(scene: Scene) -> Iterator[Action]:
    """What the statement does, and what that reaches by foreign keys."""
    for action in actions_of(scene.node):
        yield action
        yield from reached(action, scene.schema)


def _estimate(parts: Sequence[_Judged], strongest: _Judged, context: Context) -> float | None:
    """For how long the strongest lock may be held, in seconds; None: a size isn't known."""
    long = [part for part in parts if part.locking.cost is not Cost.INSTANT]
    sizes = [(context.size(part.table), part.locking.cost) for part in [strongest, *long]]
    known = [size.seconds(cost) for size, cost in sizes if size]
    return max(known) if len(known) == len(sizes) else None


def _of_action(action: Action, scene: Scene) -> _Judged:
    """What the rules say of one action."""
    if scene.schema.is_new(action.table):
        return _Judged(NOTHING, (), action.table)
    locked = locking(action, scene.schema)
    if locked is None:
        return _Judged(NOTHING, (_unknown(action),), action.table)
    scene = replace(scene, locking=locked)
    findings = []
    for rule in RULES:
        if not rule.kinds or action.kind in rule.kinds:
            verdict = rule.judge(action, scene)
            if verdict:
                findings.append(_finding(rule.name, verdict))
    return _Judged(locked, tuple(findings), action.table)


def _finding(rule: str, verdict: Verdict) -> Finding:
    return Finding(rule, verdict.message, verdict.remedy, verdict.compatibility)


def _unknown(action: Action) -> Finding:
    """What nobody has thought of isn't safe."""
    said = (
        f"it is not known what this does to an older version, or whom it blocks ({action.kind}): "
        "read PostgreSQL's page on it, then allow it with the reason"
    )
    return Finding("unknown-statement", said, compatibility=Compatibility.CONDITIONAL)


def _without_doubles(found: Iterable[Finding]) -> list[Finding]:
    """A rule says a thing once, though two parts of a statement do it."""
    return list(dict.fromkeys(found))


def _settled(finding: Finding, context: Context, requires: Version | None) -> Finding | None:
    """The finding as it is with these versions; None: nobody is left whom it would break."""
    if finding.compatibility is Compatibility.SAFE or finding.rule == "unknown-statement":
        return finding
    if context.outlived(requires):
        return None
    names = [str(each) for each in context.too_old(requires)]
    if not names:
        return finding
    those = "may run, or come back" if len(names) > 1 else "may run, or comes back"
    return replace(finding, message=f"{finding.message} ({', '.join(names)} {those})")
