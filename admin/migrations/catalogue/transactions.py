"""Which statements PostgreSQL refuses within a transaction, and which would end ours. Pure.

Source: PostgreSQL 18, the notes of each command's reference page.
"""

from admin.migrations.catalogue.model import Node

_NEVER = frozenset(
    {
        *("CreatedbStmt", "DropdbStmt", "CreateTableSpaceStmt", "DropTableSpaceStmt"),
        *("AlterSystemStmt", "CreateSubscriptionStmt", "DropSubscriptionStmt"),
    }
)
_WHOLE = frozenset({"REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE"})


def needs_none(node: Node) -> bool:
    """Whether it can't run within a transaction."""
    match node.DESCRIPTOR.name:
        case "IndexStmt" | "DropStmt":
            return bool(node.concurrent)
        case "ReindexStmt":
            names = {option.def_elem.defname for option in node.params}
            return "concurrently" in names or word(node, "kind") in _WHOLE
        case "VacuumStmt":
            return bool(node.is_vacuumcmd)
        case "ClusterStmt":
            return not node.HasField("relation")
        case "AlterTableStmt":
            return any(_detaches_concurrently(each.alter_table_cmd) for each in node.cmds)
        case kind:
            return kind in _NEVER


def controls_one(node: Node) -> bool:
    """Whether it begins, ends or marks a transaction."""
    return bool(node.DESCRIPTOR.name == "TransactionStmt")


def word(node: Node, field: str) -> str:
    """The name of an enumeration's value, as in `AT_DropColumn`."""
    described = node.DESCRIPTOR.fields_by_name[field].enum_type
    return str(described.values_by_number[getattr(node, field)].name)


def _detaches_concurrently(command: Node) -> bool:
    if word(command, "subtype") != "AT_DetachPartition":
        return False
    return bool(getattr(command, "def").partition_cmd.concurrent)
