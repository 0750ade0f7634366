"""Which lock an action takes on the altered table, and how long it holds it. Pure.

A kind that is not here is not known: `unknown-statement` says so. Every row was confirmed by looking at
`pg_locks` and at the table's file: tests/integration/migrations/test_lint_locks.py.
"""

from collections.abc import Mapping

from admin.migrations.lint.action import Action
from admin.migrations.lint.locking_parts import DEPENDS
from admin.migrations.lint.model import Cost, Lock, Locking
from admin.migrations.lint.schema import Schema

NOTHING = Locking()
_SHARED = Locking(Lock.ACCESS_SHARE)
_ROWS = Locking(Lock.ROW_EXCLUSIVE)
_MILD = Locking(Lock.SHARE_UPDATE_EXCLUSIVE)
_NO_WRITES = Locking(Lock.SHARE_ROW_EXCLUSIVE)
_EXCLUSIVE = Locking(Lock.ACCESS_EXCLUSIVE)
_EXCLUSIVE_SCAN = Locking(Lock.ACCESS_EXCLUSIVE, Cost.SCAN)
_ROWS_SCAN = Locking(Lock.ROW_EXCLUSIVE, Cost.SCAN)
_REWRITE = Locking(Lock.ACCESS_EXCLUSIVE, Cost.REWRITE)


def locking(action: Action, schema: Schema) -> Locking | None:
    """The lock and the cost; None: this kind is not known."""
    if action.kind in DEPENDS:
        return DEPENDS[action.kind](action, schema)
    return TABLE.get(action.kind)


def _rows(locked: Locking, *kinds: str) -> dict[str, Locking]:
    return dict.fromkeys(kinds, locked)


TABLE: Mapping[str, Locking] = {
    **_rows(
        _EXCLUSIVE,
        *("AT_DropColumn", "AT_DropConstraint", "AT_ColumnDefault", "AT_DropNotNull"),
        *("AT_DropExpression", "AT_DropIdentity", "AT_SetIdentity", "AT_AlterConstraint"),
        *("AT_SetStorage", "AT_SetCompression", "AT_ChangeOwner", "AT_ReplicaIdentity"),
        *("AT_EnableRule", "AT_EnableAlwaysRule", "AT_EnableReplicaRule", "AT_DisableRule"),
        *("AT_EnableRowSecurity", "AT_DisableRowSecurity"),
        *("AT_ForceRowSecurity", "AT_NoForceRowSecurity"),
        *("AT_AddInherit", "AT_DropInherit", "AT_AddOf", "AT_DropOf", "AT_AddIdentity"),
        *("Drop:OBJECT_TABLE", "Drop:OBJECT_VIEW", "Drop:OBJECT_MATVIEW", "Drop:OBJECT_SEQUENCE"),
        *("Drop:OBJECT_FOREIGN_TABLE", "Drop:OBJECT_TRIGGER", "Drop:OBJECT_POLICY"),
        *("Drop:OBJECT_RULE", "Rename:OBJECT_TABLE", "Rename:OBJECT_COLUMN"),
        *("Rename:OBJECT_TABCONSTRAINT", "Rename:OBJECT_VIEW", "Rename:OBJECT_MATVIEW"),
        *("Rename:OBJECT_SEQUENCE", "Rename:OBJECT_TRIGGER", "Rename:OBJECT_POLICY"),
        *("Rename:OBJECT_RULE", "Rename:OBJECT_FOREIGN_TABLE"),
        *("SetSchema:OBJECT_TABLE", "SetSchema:OBJECT_VIEW", "SetSchema:OBJECT_MATVIEW"),
        *("SetSchema:OBJECT_SEQUENCE", "SetSchema:OBJECT_FOREIGN_TABLE"),
        *("Rule", "CreatePolicy", "AlterPolicy", "Truncate"),
        *("UsingIndex:UNIQUE", "OBJECT_VIEW:AT_ColumnDefault", "OBJECT_VIEW:AT_ChangeOwner"),
        *("OBJECT_VIEW:AT_SetRelOptions", "OBJECT_VIEW:AT_ResetRelOptions"),
        *("OBJECT_MATVIEW:AT_ChangeOwner", "OBJECT_SEQUENCE:AT_ChangeOwner"),
    ),
    **_rows(
        _REWRITE,
        *("AT_SetLogged", "AT_SetUnLogged", "Cluster"),
    ),
    **_rows(
        _NO_WRITES,
        *("AT_EnableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_EnableTrigAll"),
        *("AT_EnableTrigUser", "AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser"),
        *("CreateTrig", "AlterSeq"),
    ),
    **_rows(
        _MILD,
        *(
            "AT_AttachPartition",
            "AT_SetStatistics",
            "AT_SetOptions",
            "AT_ResetOptions",
            "AT_ClusterOn",
            "AT_DropCluster",
        ),
        *("AT_SetRelOptions", "AT_ResetRelOptions", "AT_DetachPartitionFinalize"),
        *("CreateStats", "AlterStats"),
    ),
    **_rows(_ROWS, "Insert", "Copy"),
    "Merge": _ROWS_SCAN,
    **_rows(
        _EXCLUSIVE_SCAN,
        *("NewColumn:CHECK", "NewColumn:UNIQUE", "NewColumn:PRIMARY"),
        *("AddConstraint:UNIQUE", "AddConstraint:PRIMARY", "AddConstraint:EXCLUSION"),
    ),
    **_rows(_MILD, "Published", "Drop:OBJECT_STATISTIC_EXT"),
    **_rows(_NO_WRITES, "Referred"),
    **_rows(_EXCLUSIVE, "Detached"),
    **_rows(_SHARED, "Named", "Copied", "OBJECT_INDEX:AT_AttachPartition"),
    "Reference": _NO_WRITES,
    "Inheritance": _MILD,
    **_rows(
        NOTHING,
        *("Create", "CreateTableAs:OBJECT_TABLE", "CreateTableAs:OBJECT_MATVIEW", "CreateSeq"),
        *("CreateSchema", "CreateEnum", "CreateDomain", "CompositeType", "CreateRange"),
        *("CreateFunction", "AlterFunction", "CreateExtension", "AlterExtension", "CreateRole"),
        *("AlterEnum", "GrantRole", "AlterDefaultPrivileges", "AlterRoleSet"),
        *("AlterDatabaseSet", "AlterDatabase", "AlterSystem"),
        *("Do", "Call", "VariableSet", "CreatePublication", "AlterPublication", "ConstraintsSet"),
        *("CreateCast", "CreateOpClass", "CreateOpFamily", "CreateConversion", "AlterRole"),
        *("Define:OBJECT_AGGREGATE", "Define:OBJECT_OPERATOR", "Define:OBJECT_COLLATION"),
        *("Define:OBJECT_TYPE", "Define:OBJECT_TSCONFIGURATION", "Define:OBJECT_TSDICTIONARY"),
        "Drop:OBJECT_FUNCTION",
        *("Drop:OBJECT_PROCEDURE", "Drop:OBJECT_ROUTINE", "Drop:OBJECT_AGGREGATE"),
        *("Drop:OBJECT_PUBLICATION", "Drop:OBJECT_OPERATOR"),
        *("Drop:OBJECT_CAST", "Drop:OBJECT_COLLATION"),
        *("Rename:OBJECT_SCHEMA", "Rename:OBJECT_TYPE", "Rename:OBJECT_DOMAIN"),
        *("Rename:OBJECT_FUNCTION", "Rename:OBJECT_PROCEDURE", "Rename:OBJECT_ROUTINE"),
        *("Rename:OBJECT_AGGREGATE", "Rename:OBJECT_ATTRIBUTE", "Rename:OBJECT_DOMCONSTRAINT"),
        *("Rename:OBJECT_INDEX", "Rename:OBJECT_PUBLICATION", "Rename:OBJECT_STATISTIC_EXT"),
        *("Rename:OBJECT_ROLE",),
        *("SetSchema:OBJECT_FUNCTION", "SetSchema:OBJECT_PROCEDURE", "SetSchema:OBJECT_TYPE"),
        *("SetSchema:OBJECT_DOMAIN", "SetSchema:OBJECT_ROUTINE", "SetSchema:OBJECT_AGGREGATE"),
        *("SetSchema:OBJECT_EXTENSION",),
        *("Owner:OBJECT_SCHEMA", "Owner:OBJECT_FUNCTION", "Owner:OBJECT_PROCEDURE"),
        *("Owner:OBJECT_TYPE", "Owner:OBJECT_DOMAIN", "Owner:OBJECT_DATABASE"),
        *("Owner:OBJECT_PUBLICATION",),
        *("OBJECT_TYPE:AT_AddColumn", "OBJECT_TYPE:AT_DropColumn"),
        *("OBJECT_TYPE:AT_AlterColumnType", "OBJECT_INDEX:AT_SetRelOptions"),
        "OBJECT_INDEX:AT_ResetRelOptions",
    ),
}
"""The kinds whose lock and cost are always the same."""
