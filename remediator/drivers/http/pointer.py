"""A place in a JSON document (RFC 6901): `/pools/0/size`."""

from __future__ import annotations

import re
from typing import Any

_SYNTAX = re.compile(r"(?:/(?:[^/~]|~[01])*)*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def checked_pointer(text: str) -> str:
    """The pointer as it is. Raises ValueError where it is none."""
    if not _SYNTAX.fullmatch(text):
        raise ValueError("not a JSON pointer; write /name/0/name, or nothing for the whole document")
    return text


def resolve(document: Any, pointer: str) -> Any:
    """What stands there. Raises KeyError where nothing does."""
    node = document
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and _INDEX.fullmatch(name) and int(name) < len(node):
            node = node[int(name)]
        else:
            raise KeyError(pointer)
    return node
