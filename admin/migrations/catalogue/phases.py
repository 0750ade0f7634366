"""Which phase a migration belongs to if it doesn't say so. Pure.

Rule: whatever takes something away that a deployed version may use is a contract; what writes rows,
and nothing else, is a backfill; all else is an expansion.
"""

from collections.abc import Sequence

from admin.migrations.catalogue.model import Node, Phase, Statement
from admin.migrations.catalogue.transactions import word

_WRITES = frozenset({"UpdateStmt", "DeleteStmt", "InsertStmt", "MergeStmt"})
_TAKES = frozenset({"RenameStmt", "TruncateStmt", "AlterObjectSchemaStmt"})
_TAKING = frozenset({"AT_DropColumn", "AT_AlterColumnType", "AT_SetNotNull"})
_HARMLESS_DROPS = frozenset({"OBJECT_INDEX", "OBJECT_TRIGGER", "OBJECT_STATISTIC_EXT"})


def phase_of(statements: Sequence[Statement]) -> Phase:
    """The phase, by what the statements do."""
    if any(_takes(each.node) for each in statements):
        return Phase.CONTRACT
    if statements and all(each.node.DESCRIPTOR.name in _WRITES for each in statements):
        return Phase.BACKFILL
    return Phase.EXPAND


def _takes(node: Node) -> bool:
    """Whether it may take away what an older version uses."""
    match node.DESCRIPTOR.name:
        case "DropStmt":
            return word(node, "remove_type") not in _HARMLESS_DROPS
        case "AlterTableStmt":
            commands = (each.alter_table_cmd for each in node.cmds)
            return any(word(command, "subtype") in _TAKING for command in commands)
        case kind:
            return kind in _TAKES
