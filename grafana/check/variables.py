"""Variables in text, replaced as Grafana's Prometheus data source does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from grafana.check.document import Variable

_USED = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:}]+))?(?::([^}]+))?\}", re.ASCII)
_NAMED_GROUP = re.compile(r"\(\?P?<(\w+)>")
ALL = "$__all"


@dataclass(frozen=True)
class Value:
    """What a variable stands for. `raw` is put in as it is (a custom value for All)."""

    chosen: tuple[str, ...]
    many: bool = False
    raw: bool = False


def used(text: str) -> Iterator[str]:
    """Names of the variables in a text: not those of Grafana itself, nor the groups of a regular expression."""
    groups = set(_NAMED_GROUP.findall(text))
    for found in _USED.finditer(text):
        name = found[1] or found[2] or found[4]
        if not name.startswith("__") and not name.isdigit() and name not in groups and name != "timeFilter":
            yield name


def replaced(text: str, values: Mapping[str, Value]) -> str:
    """The text with its variables replaced; those that are not known stay as they are."""

    def put(found: re.Match[str]) -> str:
        value = values.get(found[1] or found[2] or found[4])
        return found[0] if value is None else formatted(value, found[3] or found[6] or "")

    return _USED.sub(put, text)


def formatted(value: Value, how: str = "") -> str:
    """The value as it stands in PromQL, or in the format that the text asks for (`${x:csv}`)."""
    chosen = value.chosen
    if value.raw:
        return "".join(chosen)
    if how in ("raw", "text"):
        return ",".join(chosen)
    if how == "csv":
        return ",".join(chosen)
    if how == "pipe":
        return "|".join(chosen)
    if how == "doublequote":
        return ",".join(f'"{each}"' for each in chosen)
    if how == "singlequote":
        return ",".join(f"'{each}'" for each in chosen)
    if not value.many and how != "regex":
        return "".join(chosen).replace("\\", "\\\\").replace('"', '\\"')
    escaped = [_escaped(each) for each in chosen]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def known_by_itself(variable: Variable) -> tuple[str, ...] | None:
    """The values that a variable offers without asking anybody; None where Prometheus must be asked."""
    match variable.type:
        case "query":
            return None
        case "custom":
            return variable.options or tuple(_choices(variable.query))
        case "interval":
            return tuple(each for each in variable.query.split(",") if not each.startswith("auto")) or variable.options
        case "constant" | "textbox":
            return (variable.query,) if variable.query else variable.current
        case _:
            return variable.current or ("x",)


def value_of(variable: Variable, offered: Iterable[str]) -> Value:
    """What is chosen among the values that are offered: what was saved, where it still is one; else all, or the
    first."""
    values = tuple(offered)
    if variable.many and (not variable.current or variable.current[0] in (ALL, "All")):
        if variable.all_value:
            return Value((variable.all_value,), many=True, raw=True)
        return Value(values, many=True)
    chosen = tuple(each for each in variable.current if each in values) or values[:1]
    return Value(chosen, many=variable.many)


def _choices(query: str) -> Iterator[str]:
    """Of a custom variable: `a,b` or `name : a, other : b`."""
    for each in re.split(r"(?<!\\),", query):
        text = each.strip().replace("\\,", ",")
        yield text.split(" : ", 1)[1].strip() if " : " in text else text


def _escaped(text: str) -> str:
    """The text itself as a regular expression, within a PromQL string."""
    quoted = text.replace("\\", "\\" * 4).replace('"', "\\" * 3 + '"')
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", quoted)
