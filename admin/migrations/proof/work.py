"""What the parts of one proof share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from admin.migrations.proof.limits import Limits
from admin.migrations.proof.model import Proof

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """path: of schemas, the one that is migrated first. proof: what is found goes there. progress: told what is going on."""

    path: Sequence[str]
    limits: Limits
    proof: Proof
    progress: Progress

    @property
    def schema(self) -> str:
        """The one that is migrated."""
        return self.path[0]
