"""What a person wrote: text that every ledger can keep, every log can hold on one line and every terminal can show."""

from __future__ import annotations

import unicodedata
from typing import Any

LONGEST = 2000
"""Characters of a reason that are kept."""
_BLANKS = {ord(char): " " for char in "\r\n\t\u2028\u2029"}


class BadRequest(Exception):
    """The request makes no sense; the message says what would."""


def plain(name: str, text: str) -> str:
    """The text, as it is. Raises BadRequest when it holds a control character, or half of one (a lone surrogate)."""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise BadRequest(f"`{name}` holds a control character; write plain text")
    return text


def note(value: Any, name: str = "reason") -> str:
    """A reason, where one is given: on one line, cut where it is too long; else empty. Raises BadRequest."""
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"`{name}` must be a text")
    # Lines and tabs are what people type; a log's lines must not break over them.
    return plain(name, (value or "").translate(_BLANKS)).strip()[:LONGEST]


def reason(value: Any, name: str = "reason") -> str:
    """A reason that must be there. Raises BadRequest."""
    if not (given := note(value, name)):
        raise BadRequest(f"`{name}` must say why: it stands in the audit log")
    return given
