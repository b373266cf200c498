"""Requests written in the inventory, into which one number goes and nothing else.

`{value}` stands for the number: in a path as a whole segment or a whole query value, in a body as a whole value. It can
therefore end or begin nothing: a path keeps its segments, a document its keys, whatever the number is.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from remediator.errors import Permanent

PLACE = "{value}"
_DEPTH = 32
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$'()*+,;:@=-]|%[0-9A-Fa-f]{2})*")
_QUERY_PART = re.compile(r"(?:[A-Za-z0-9._~!$'()*+,;:@/?-]|%[0-9A-Fa-f]{2})*")


def checked_path(path: str) -> str:
    """The path as it is. Raises ValueError where it is none, or holds `{value}` as a part of something."""
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("a path begins with one slash")
    way, _, query = path.partition("?")
    for segment in way[1:].split("/"):
        if unquote(segment) in (".", ".."):
            raise ValueError("a path may not lead upwards")
        _whole(segment, _SEGMENT)
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if PLACE in name:
            raise ValueError(f"{PLACE} is a value, not a name")
        _whole(name, _QUERY_PART)
        _whole(value, _QUERY_PART)
    return path


def checked_body(body: Any) -> Any:
    """The document as it is. Raises ValueError where `{value}` is a key or a part of a text, or it is no JSON."""
    _check(body, 0)
    return body


def holds_value(path: str, body: Any) -> bool:
    """Whether the number goes anywhere."""
    return PLACE in path or _holds(body)


def filled_path(path: str, value: float | None) -> str:
    """The path with the number in its place. Raises Permanent for what is no finite number."""
    return path.replace(PLACE, _digits(value)) if PLACE in path else path


def filled_body(body: Any, value: float | None) -> Any:
    """The document with the number, as a JSON number, in its place. Raises Permanent for what is no finite number."""
    if body == PLACE:
        return _number(value)
    if isinstance(body, dict):
        return {key: filled_body(each, value) for key, each in body.items()}
    if isinstance(body, list):
        return [filled_body(each, value) for each in body]
    return body


def _whole(part: str, allowed: re.Pattern[str]) -> None:
    if part != PLACE and not allowed.fullmatch(part):
        raise ValueError(f"{PLACE} must be a part of its own, and other characters than a URL's be percent-encoded")


def _check(node: Any, depth: int) -> None:
    if depth > _DEPTH:
        raise ValueError("the document is too deep")
    if isinstance(node, dict):
        for key, each in node.items():
            if not isinstance(key, str) or PLACE in key:
                raise ValueError(f"keys are texts, and {PLACE} is none")
            _check(each, depth + 1)
    elif isinstance(node, list):
        for each in node:
            _check(each, depth + 1)
    elif isinstance(node, str):
        if PLACE in node and node != PLACE:
            raise ValueError(f"{PLACE} must be a value of its own")
    elif not (node is None or isinstance(node, bool | int) or (isinstance(node, float) and math.isfinite(node))):
        raise ValueError(f"{type(node).__name__} is no JSON")


def _holds(node: Any) -> bool:
    if isinstance(node, dict | list):
        return any(_holds(each) for each in (node.values() if isinstance(node, dict) else node))
    return bool(node == PLACE)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Permanent(f"{str(value)[:50]!r} is no number: nothing was sent")
    return value


def _digits(value: Any) -> str:
    return format(Decimal(repr(_number(value))), "f")
