"""What a rule is, and what it is shown. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from admin.migrations.catalogue.model import Node, Statement
from admin.migrations.lint.action import Action
from admin.migrations.lint.context import Context
from admin.migrations.lint.model import Compatibility, Locking, Verdict
from admin.migrations.lint.schema import Schema


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands around an action.

    schema: as it is before the statement. locking: of this action. following: the statements that
    come after in the same file.
    """

    statement: Statement
    node: Node
    schema: Schema
    context: Context
    locking: Locking
    following: Sequence[Statement] = ()


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
