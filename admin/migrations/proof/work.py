"""What the parts of one proof share."""

from collections.abc import Callable
from dataclasses import dataclass

from admin.migrations.proof.limits import Limits
from admin.migrations.proof.model import Proof

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """schema: that is migrated. proof: what is found goes there. progress: told what is going on."""

    schema: str
    limits: Limits
    proof: Proof
    progress: Progress
