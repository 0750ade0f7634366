"""Which migrations a proof applies, and which it holds back. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from admin.migrations.catalogue.model import Catalogue, Migration, Phase
from admin.migrations.proof.limits import CannotProve
from admin.migrations.version import Version


@dataclass(frozen=True, slots=True)
class Pending:
    """now: applied in the clone, in order. held_back: contracts that the old version may not meet.

    old: the application version that may come back; None: it isn't known.
    """

    now: tuple[Migration, ...]
    held_back: tuple[Migration, ...]
    old: Version | None


def pending(
    catalogue: Catalogue,
    applied: Mapping[str, str] | None,
    after: Version | None,
    to: Version | None,
    old: Version | None,
) -> Pending:
    """What is to be tried. CannotProve: an applied file has changed, or nothing is to do.

    applied: key → checksum of what the target has; None: it has no such table, so `after` counts (None:
    nothing is applied). to: the last one; None: all. old: the application version that may come back;
    None: what the target is at.
    """
    last = to or catalogue.last
    wanted = list(catalogue.between(None, last)) if last else []
    if applied is None:
        todo = [each for each in wanted if after is None or _version(each) > after]
        old = old or after
        todo += catalogue.repeatable
    else:
        _refuse_changed(wanted, applied)
        todo = [each for each in wanted if each.key not in applied]
        done = [_version(each) for each in wanted if each.key in applied]
        old = old or max(done, default=None)
        todo += [each for each in catalogue.repeatable if applied.get(each.key) != each.checksum]
    if not todo:
        raise CannotProve("there is nothing to prove: all of the catalogue is applied")
    held = tuple(each for each in todo if _is_held_back(each, old))
    return Pending(tuple(each for each in todo if each not in held), held, old)


def _is_held_back(migration: Migration, old: Version | None) -> bool:
    """Whether it was declared to come once the old version is gone; what is derived doesn't count."""
    declared = migration.directives.keys() & {"phase", "requires"}
    if not declared or old is None or migration.requires is None:
        return False
    is_contract = migration.phase is Phase.CONTRACT or "requires" in declared
    return is_contract and migration.requires > old


def _refuse_changed(wanted: Sequence[Migration], applied: Mapping[str, str]) -> None:
    changed = [
        each.path for each in wanted if applied.get(each.key, each.checksum) != each.checksum
    ]
    if changed:
        raise CannotProve(
            f"{', '.join(changed)} was changed after it was applied: restore it, and put the change "
            "into a new file"
        )


def _version(migration: Migration) -> Version:
    assert migration.version is not None  # noqa: S101 - of the versioned ones only
    return migration.version
