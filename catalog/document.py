"""A YAML file as plain data that knows where each part stands.

Read as YAML 1.2's core schema: only `true` and `false` are booleans (`on` and `no` are words), `012` is twelve,
`1:30` is a word. Anchors, aliases, tags, duplicate keys and several documents in one file are refused, so what is
read is exactly what is seen, and a small file cannot unfold into a large one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from catalog.fault import CatalogError, Fault, shown

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 30
MAX_NUMBER = 2**53
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_WORDS: Mapping[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}

Where = tuple[str | int, ...]
"""Where in a document: keys and positions in lists."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content. `place` gives line and column (from 1) of any part of it."""

    name: str
    value: Any
    places: Mapping[Where, tuple[int, int]] = field(repr=False)
    """Of values; of a mapping's entry it is where the key stands."""
    unquoted: frozenset[Where] = field(default=frozenset(), repr=False)
    """Scalars written without quotes."""
    private: frozenset[Where] = field(default=frozenset(), repr=False)
    """Scalars filled from the environment: never quoted."""

    def place(self, path: Where) -> tuple[int, int]:
        """Where the part stands, or the nearest part around it that the file has."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (0, 0))

    def fault(self, path: Where, message: str) -> Fault:
        """A fault at this place of the file."""
        line, column = self.place(path)
        return Fault(self.name, line, column, path_text(path), message)


def path_text(path: Where) -> str:
    """`metrics[2].bands.good` for ("metrics", 2, "bands", "good")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)[1:-1]}" if text else shown(part)[1:-1]
    return text


def read_document(path: Path) -> Document:
    """The file's content with its places. Raises CatalogError where it cannot be read or is not plain YAML."""
    name = shown_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CatalogError([Fault(name, 0, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    return parse_document(data, name)


def shown_path(path: Path) -> str:
    """The path as messages show it: relative to the working directory where the file lies below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def parse_document(data: bytes, name: str) -> Document:
    """The content of `data` with its places; `name` stands for the file in faults. Raises CatalogError."""
    if len(data) > MAX_BYTES:
        raise CatalogError(
            [Fault(name, 0, 0, "", f"larger than {MAX_BYTES // 1024 // 1024} MiB; split it into several files")]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        fault = Fault(name, line, column, "", f"not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8")
        raise CatalogError([fault]) from error
    builder = _Builder(name)
    try:
        value = builder.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise CatalogError([*builder.faults, _syntax_fault(error, name, text)]) from error
    except yaml.YAMLError as error:
        raise CatalogError([*builder.faults, _character_fault(error, name, text)]) from error
    if builder.faults:
        raise CatalogError(builder.faults)
    return Document(name, value, builder.places, frozenset(builder.unquoted))


def _syntax_fault(error: yaml.MarkedYAMLError, name: str, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())] or here[column - 1 : column] == "\t":
        return Fault(name, line, column, "", "a tab cannot indent YAML; use spaces")
    said = " ".join(str(part) for part in (error.context, error.problem) if part)
    return Fault(name, line, column, "", f"not YAML: {said}")


def _character_fault(error: yaml.YAMLError, name: str, text: str) -> Fault:
    for number, line in enumerate(text.splitlines(), 1):
        for column, character in enumerate(line, 1):
            if not (character == "\t" or character.isprintable() or character in "\x85\xa0\ufeff"):
                return Fault(
                    name, number, column, "", f"the character U+{ord(character):04X} is not allowed; remove it"
                )
    return Fault(name, 0, 0, "", f"not YAML: {' '.join(str(error).split())[:200]}")


class _Builder:
    """Turns the parser's events into plain data, noting places and faults on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self.places: dict[Where, tuple[int, int]] = {}
        self.unquoted: set[Where] = set()

    def document(self, events: Iterator[yaml.Event]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fault(event, (), "a second document begins here; one file holds one document")
                    raise CatalogError(self.faults)
            elif isinstance(event, yaml.NodeEvent):
                value = self.node(event, events, ())
        return value

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], path: Where) -> Any:
        self.places.setdefault(path, _position(event))
        if len(path) > MAX_DEPTH:
            self.fault(event, path[:3], f"nested more than {MAX_DEPTH} levels deep")
            raise CatalogError(self.faults)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.fault(event, path, "anchors and aliases (& and *) are not used in these files; write it out")
        if isinstance(event, yaml.AliasEvent):
            return None
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.fault(event, path, f"tags such as {shown(tag)[1:-1]} are not used in these files")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(events, path)
        assert isinstance(event, yaml.ScalarEvent), event
        return self.scalar(event, path)

    def mapping(self, events: Iterator[yaml.Event], path: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            if not isinstance(key, yaml.ScalarEvent):
                self.fault(key, path, "a key must be a word")
                raise CatalogError(self.faults)
            word = key.value
            here = (*path, word)
            if key.anchor or key.tag:
                self.fault(key, here, "anchors and tags are not used in these files")
            if word == "<<" and key.implicit[0]:
                self.fault(key, here, "merge keys (<<) are not used in these files; write it out")
            if word in found:
                line, _ = self.places[here]
                self.fault(key, here, f"{shown(word)} stands here a second time (first on line {line})")
            self.places.setdefault(here, _position(key))
            found[word] = self.node(next(events), events, here)
        return found

    def sequence(self, events: Iterator[yaml.Event], path: Where) -> list[Any]:
        found: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self.node(event, events, (*path, len(found))))
        return found

    def scalar(self, event: yaml.ScalarEvent, path: Where) -> Any:
        text = event.value
        if any("\ud800" <= character <= "\udfff" for character in text) or "\x00" in text:
            self.fault(event, path, "NUL and surrogate characters are not allowed")
        if not event.implicit[0]:
            return text
        self.unquoted.add(path)
        value = resolved(text)
        if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
            self.fault(event, path, f"{shown(text)[1:-1]} is not a finite number that can be kept exactly")
        return value

    def fault(self, event: yaml.Event, path: Where, message: str) -> None:
        line, column = _position(event)
        self.faults.append(Fault(self.name, line, column, path_text(path), message))


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def resolved(text: str) -> Any:
    """What an unquoted scalar means: null, a boolean, a number, or the word itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 400:
        if _INTEGER.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
    return text
