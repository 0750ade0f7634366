"""Which application version each slot runs: what schemas are compared with."""

import json

from admin.migrations.compatibility import misplaced
from admin.migrations.guard import look, refusal, with_version
from admin.migrations.version import Version
from admin.routing.audit import Author
from admin.routing.store import Store
from proxy.routing.model import Slot

ACTION = "slot-version"
_SET = """
INSERT INTO turnout.slot_versions (slot, version, actor) VALUES ($1, $2, $3)
ON CONFLICT (slot) DO UPDATE SET version = excluded.version, actor = excluded.actor, at = now()
"""
_FORGET = "DELETE FROM turnout.slot_versions WHERE slot = $1"
_AUDIT = """
INSERT INTO turnout.audit (actor, role, action, from_state, to_state, outcome, request_id)
VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, 'committed', $6)
"""


async def set_version(store: Store, slot: Slot, version: Version | None, author: Author) -> None:
    """Write down what the slot runs; None: it isn't known any more, and nothing is compared with it.

    LimitError if tenants are routed to the slot whose schema doesn't serve it, and did serve what
    was there. DatabaseUnavailableError.
    """
    async with store.held_still() as (connection, standing):
        schemas = (await look(connection)).schemas
        before = schemas.versions.get(slot)
        if before == version:
            return
        changed = with_version(schemas, slot, version)
        already = {(each.tenant, each.slot) for each in misplaced(standing.table, schemas)}
        found = [
            each
            for each in misplaced(standing.table, changed)
            if (each.tenant, each.slot) not in already
        ]
        if found:
            raise refusal(found)
        if version is None:
            await connection.execute(_FORGET, slot)
        else:
            await connection.execute(_SET, slot, str(version), author.actor)
        was, became = ({f"{slot}_version": each and str(each)} for each in (before, version))
        await connection.execute(
            *(_AUDIT, author.actor, author.role, ACTION),
            *(json.dumps(was), json.dumps(became), author.request_id),
        )
