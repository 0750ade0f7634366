"""Linting: from migrations and a context to a report. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.catalogue.model import Catalogue, Kind, Migration
from admin.migrations.lint.action import Action, actions_of
from admin.migrations.lint.bringing import Thing, brought_by, is_brought
from admin.migrations.lint.context import Context, Size
from admin.migrations.lint.held import Holding
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
from admin.migrations.lint.rule import Held, Scene
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
    """The report on migrations, in this order; undos come last, the newest first, as they would run.

    schema: what is there before the first. beside: None: no other program was asked.
    """
    schema = schema or Schema()
    migrations = tuple(migrations)
    undos = {each.version: each for each in migrations if each.kind is Kind.UNDO}
    found: list[Linted] = []
    back: list[list[Linted]] = []
    for migration in migrations:
        if migration.kind is Kind.UNDO:
            continue
        undo = undos.pop(migration.version, None)
        brought = brought_by(migration, schema) if undo else frozenset()
        found += _of_file(_File(migration, context, beside), schema)
        if undo:
            # What the migration has made is there when its undo begins, and what came later is gone.
            there = schema.copy()
            back.append(_of_file(_File(undo, context, beside, brought), there))
    back += [_of_file(_File(each, context, beside), schema.copy()) for each in undos.values()]
    return Report((*found, *(each for statements in reversed(back) for each in statements)))


@dataclass(frozen=True, slots=True)
class _File:
    """A migration on its way. brought: of an undo, what its migration had brought."""

    migration: Migration
    context: Context
    beside: Beside | None
    brought: frozenset[Thing] = frozenset()


def _of_file(file: _File, schema: Schema) -> list[Linted]:
    """The statements with their verdicts; the schema learns from each."""
    schema.next_file()
    migration, holding, found = file.migration, Holding(), []
    for place, statement in enumerate(migration.statements):
        scene = Scene(
            statement,
            statement.node,
            schema,
            file.context,
            NOTHING,
            migration.statements[place + 1 :],
            migration.transactional,
        )
        found.append(_judged(file, scene, holding))
        learn(schema, statement.node)
    return found


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


def _judged(file: _File, scene: Scene, holding: Holding) -> Linted:
    """A statement with its verdicts; what it locks is held from then on."""
    statement, context = scene.statement, scene.context
    actions = [*_actions(scene)]
    locks = [_locked(action, scene.schema) for action in actions]
    own = [
        Held(action.table, locked.lock, statement.line)
        for action, locked in zip(actions, locks, strict=True)
        if locked
    ]
    parts = []
    for action, locked in zip(actions, locks, strict=True):
        long = scene.transactional and locked is not None and locked.cost is not Cost.INSTANT
        held = holding.during(action.table, own) if long else ()
        parts.append(_of_action(action, locked, replace(scene, held=held), file.brought))
    holding.take(own)
    place = (file.migration.path, statement.line, statement.column)
    theirs = (file.beside or {}).get(place, ())
    findings = _without_doubles([*(each for part in parts for each in part.findings), *theirs])
    settled = [_settled(each, context, file.migration) for each in findings]
    left = [each for each in settled if each is not None]
    kept, suppressed = suppress(statement, left, findings, squawked=file.beside is not None)
    strongest = max(parts, key=lambda part: part.locking.lock.rank)
    size = context.size(strongest.table)
    return Linted(
        file=file.migration.path,
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


def _locked(action: Action, schema: Schema) -> Locking | None:
    """Its lock and cost; None: this kind is not known."""
    return NOTHING if schema.is_new(action.table) else locking(action, schema)


def _of_action(
    action: Action, locked: Locking | None, scene: Scene, brought: frozenset[Thing]
) -> _Judged:
    """What the rules say of one action."""
    if scene.schema.is_new(action.table):
        return _Judged(NOTHING, (), action.table)
    if locked is None:
        return _Judged(NOTHING, (_unknown(action),), action.table)
    scene = replace(scene, locking=locked)
    findings = []
    for rule in RULES:
        if not rule.kinds or action.kind in rule.kinds:
            verdict = rule.judge(action, scene)
            if verdict:
                findings.append(_finding(rule.name, verdict))
    if brought and is_brought(action, brought):
        findings = [each for each in findings if each.compatibility is Compatibility.SAFE]
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


def _settled(finding: Finding, context: Context, migration: Migration) -> Finding | None:
    """The finding as it is with these versions; None: nobody is left whom it would break."""
    if finding.compatibility is Compatibility.SAFE or finding.rule == "unknown-statement":
        return finding
    # What is as new as the migration was written for it, or for what comes after; an undo is for those before.
    is_undo = migration.kind is Kind.UNDO
    floor = migration.version if is_undo or not migration.requires else migration.requires
    if context.outlived(floor) and not is_undo:
        return None
    names = [str(each) for each in context.too_old(floor)]
    if not names:
        return finding
    if is_undo:
        said = f"{', '.join(names)} {'stay' if len(names) > 1 else 'stays'}"
    else:
        said = f"{', '.join(names)} may run, or {'come' if len(names) > 1 else 'comes'} back"
    return replace(finding, message=f"{finding.message} ({said})")
