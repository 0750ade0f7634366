"""JSON pointers (RFC 6901). Pure."""

import re
from typing import Any

# RFC 6901, section 3: *( "/" reference-token ), where ~ is written ~0 and / is written ~1.
_FORM = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class AbsentError(LookupError):
    """The pointer leads nowhere in this document."""


def is_pointer(text: str) -> bool:
    """Whether it is written as one."""
    return _FORM.fullmatch(text) is not None


def at(document: Any, pointer: str) -> Any:
    """What stands there. AbsentError. The empty pointer is the whole document."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            raise AbsentError(pointer)
    return document
