"""A small and strict part of JSONPath (RFC 9535): `$`, `.name`, `['name']`, `[0]`, `[-1]`, `[*]`.

It names places in a document. What searches or computes (`..`, slices, filters) is left out on purpose: such a path may
cost more than the document is worth, and an endpoint that needs it is better asked for something simpler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff-]*)
      | \[\s*'(?P<single>(?:[^'\\]|\\['\\])*)'\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\["\\])*)"\s*\]
      | \[\s*(?P<index>-?(?:0|[1-9][0-9]{0,5}))\s*\]
      | (?P<every>\[\s*\*\s*\]|\.\*)""",
    re.VERBOSE,
)

Step = str | int | None
"""A name, an index, or None for every element."""


@dataclass(frozen=True, slots=True)
class JsonPath:
    """One parsed path; `text` is how it was written."""

    text: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises ValueError with what is understood."""
        steps: list[Step] = []
        position = 1
        while text[:1] == "$" and position < len(text):
            found = _STEP.match(text, position)
            if found is None:
                break
            steps.append(_step(found))
            position = found.end()
        if text[:1] != "$" or position != len(text):
            raise ValueError(f"{text[:60]!r} is not understood; write it like $.queues[0].depth or $.queues[*]")
        return cls(text, tuple(steps))

    @property
    def several(self) -> bool:
        """Whether it may mean more than one place."""
        return None in self.steps

    def find(self, document: Any) -> list[Any]:
        """Everything it means, in the document's order; nothing where there is no such place."""
        found = [document]
        for step in self.steps:
            found = [deeper for value in found for deeper in _into(value, step)]
        return found


def _step(found: re.Match[str]) -> Step:
    if found["every"] is not None:
        return None
    if found["index"] is not None:
        return int(found["index"])
    quoted = found["single"] if found["single"] is not None else found["double"]
    return found["name"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def _into(value: Any, step: Step) -> Iterator[Any]:
    if step is None:
        yield from value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    elif isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield value[step]
    elif isinstance(value, list) and -len(value) <= step < len(value):
        yield value[step]


def _parsed(text: str) -> str:
    JsonPath.parse(text)
    return text


WrittenPath = Annotated[str, AfterValidator(_parsed)]
"""A path in a configuration: as it was written, which `JsonPath` parses."""
