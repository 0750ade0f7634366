"""What a rule is, and what it is shown. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from admin.migrations.catalogue.model import Node, Statement
from admin.migrations.lint.action import Action
from admin.migrations.lint.context import Context
from admin.migrations.lint.model import Compatibility, Lock, Locking, Verdict
from admin.migrations.lint.schema import Schema


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that the file's transaction has taken on a table. line: of the statement that took it."""

    table: str
    lock: Lock
    line: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands around an action.

    schema: as it is before the statement. locking: of this action. following: the statements that
    come after in the same file. transactional: whether the file is one transaction. held: of an
    action that takes long, the locks in the way of writes that its earlier statements have taken,
    and other parts of this one on the same table.
    """

    statement: Statement
    node: Node
    schema: Schema
    context: Context
    locking: Locking
    following: Sequence[Statement] = ()
    transactional: bool = True
    held: Sequence[Held] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Looks at actions of its kinds; with no kinds, at all of them.

    name: as in suppressions, and of its page docs/lint/<name>.md. judge: None: nothing to say.
    """

    name: str
    kinds: tuple[str, ...]
    judge: Callable[[Action, Scene], Verdict | None]


def breaking(message: str, remedy: str = "") -> Verdict:
    """It breaks the version that may come back."""
    return Verdict(Compatibility.BREAKING, message, remedy)


def conditional(message: str, remedy: str = "") -> Verdict:
    """It is safe if what the message says is so."""
    return Verdict(Compatibility.CONDITIONAL, message, remedy)


def advice(message: str, remedy: str = "") -> Verdict:
    """No query of the old version fails; but whoever writes it should know."""
    return Verdict(Compatibility.SAFE, message, remedy)


def blocking(message: str, remedy: str = "") -> Verdict:
    """It breaks nobody; others wait for it."""
    return Verdict(Compatibility.SAFE, message, remedy)
