"""`${NAME}` and `${NAME:-default}` in a file's strings, filled from the environment; `$$` is a dollar sign.

What was filled in is never quoted in a fault: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from catalog.document import Document, Where, resolved
from catalog.fault import CatalogError, Fault

_PLACEHOLDER = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\{)?)")


def filled(document: Document, environment: Mapping[str, str]) -> Document:
    """The document with its placeholders filled. Raises CatalogError naming every variable that is not set."""
    faults: list[Fault] = []
    private: set[Where] = set()

    def text(value: str, path: Where) -> Any:
        def fill(match: re.Match[str]) -> str:
            name, default, open_brace = match.groups()
            if match.group() == "$$":
                return "$"
            if name is None:
                if open_brace:
                    faults.append(document.fault(path, "write a placeholder as ${NAME}, or $$ for a dollar sign"))
                return match.group()
            private.add(path)
            found = environment.get(name, default)
            if found is None:
                faults.append(document.fault(path, f"the environment variable {name} is not set"))
            return found or ""

        answer = _PLACEHOLDER.sub(fill, value)
        return resolved(answer) if path in private and path in document.unquoted else answer

    def walk(value: Any, path: Where) -> Any:
        if isinstance(value, dict):
            return {key: walk(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*path, index)) for index, each in enumerate(value)]
        return text(value, path) if isinstance(value, str) and "$" in value else value

    value = walk(document.value, ())
    if faults:
        raise CatalogError(faults)
    return Document(document.name, value, document.places, document.unquoted, frozenset(private))
