"""From asyncpg's error to what may be told of it. Pure.

Rule: PostgreSQL quotes values in DETAIL, and in messages of class 22 ("invalid input syntax for type
integer: …"): neither is passed on, for the values may be a customer's.
"""

from admin.migrations.proof.model import Error

_CLASS_WITH_VALUES = "22"


def told(error: Exception) -> Error:
    """What went wrong, without rows or values."""
    state = str(getattr(error, "sqlstate", None) or "")
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    if state.startswith(_CLASS_WITH_VALUES):
        message = message.partition(': "')[0]
    about = getattr(error, "constraint_name", None) or getattr(error, "column_name", None) or ""
    return Error(state, message, str(about))
