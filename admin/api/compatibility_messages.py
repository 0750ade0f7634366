"""What is said of application versions, and of what tenants' schemas serve."""

from msgspec import Struct

from admin.api.messages import Given, Limit, Text, VersionText


class SlotVersionBody(Given, kw_only=True):
    """Which application version the slot runs, as MAJOR.MINOR.PATCH."""

    version: VersionText


class SlotVersion(Struct):
    """Which application version the slot runs; null: nobody said, and nothing is refused because of it."""

    slot: str
    version: str | None


class CompatibilityQuery(Given, kw_only=True):
    """Which tenants, and how many. unserved: those alone whom one of the slots can't serve."""

    tenant: Text | None = None
    unserved: bool = False
    cursor: Text = ""
    limit: Limit = 100


class MoveState(Struct):
    """Whether all may go to the slot. unserved: how many its version can't serve; tenants: the first
    of them, and why it can't serve the first.
    """  # noqa: D205 - one sentence a field

    to: str
    version: str | None
    safe: bool
    unserved: int
    tenants: list[str]
    why: str


class CompatibilityItem(Struct):
    """A tenant's row of the matrix. tenant: null, those without a schema of their own. serves:
    version → whether its schema serves it.
    """  # noqa: D205 - one sentence a field

    tenant: str | None
    oldest: str | None
    lacking: str | None
    serves: dict[str, bool]


class Compatibility(Struct):
    """Tenant by version. rollback: null if there is nothing to go back to. cutover: to standby.

    versions: the columns, those that slots run and those of migrations. next: the cursor of the
    next page.
    """

    slots: dict[str, str | None]
    versions: list[str]
    cutover: MoveState
    rollback: MoveState | None
    items: list[CompatibilityItem]
    next: str | None
