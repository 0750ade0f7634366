"""What a target has against what the plan's catalogue says: whether they fit. Pure."""

from collections.abc import Mapping, Sequence

from admin.migrations.faults import Failure
from admin.migrations.files import File, Row

SHOWN = 5


def refused(file: File, files: Sequence[File], rows: Mapping[str, Row]) -> Failure | None:
    """Why nothing may be applied to a target that has these rows; None: it may."""
    known = {each.key: each for each in files}
    strangers = sorted(key for key, row in rows.items() if key not in known and row.is_whole)
    if strangers:
        return Failure(
            f"the target has {_listed(strangers)}, which the plan's catalogue doesn't know",
            "Plan from the folder that has these files; or, if they were taken back by hand, "
            "delete their rows from turnout_schema_history of the target.",
            code="unknown-version",
            file=file.path,
        )
    changed = sorted(
        key
        for key, row in rows.items()
        # What was only begun may be mended in its file: nobody has it yet.
        if row.is_whole and not known[key].is_repeatable
        if row.applied.checksum != known[key].checksum
    )
    if changed:
        return Failure(
            f"{known[changed[0]].path} is not what was applied to the target"
            + (f" (and {len(changed) - 1} more)" if changed[1:] else ""),
            "Restore the file as it was, and put the change into a new one.",
            code="changed-file",
            file=known[changed[0]].path,
        )
    return None


def _listed(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"
