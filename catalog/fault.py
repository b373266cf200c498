"""What is wrong with a file that people wrote, and where: one `Fault` each, all of them in one `CatalogError`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong. `line` and `column` count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    path: str
    """Where in the file's structure, as people write it: `metrics[2].bands.good`; empty for the whole file."""
    message: str
    """What is wrong and what would be right."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place} {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class CatalogError(Exception):
    """A file cannot be used. `faults` holds every fault, in the order of files and lines; `str()` has one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(dict.fromkeys(faults))
        super().__init__("\n".join(map(str, self.faults)))


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """` (did you mean "volumes"?)` for the nearest known word, or nothing when none is near."""
    import difflib  # who writes no fault needs none of it

    near = difflib.get_close_matches(str(word)[:80], known, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def shown(value: object) -> str:
    """A value of the file as a message may quote it: one line, at most 60 characters."""
    text = (
        f'"{value}"'
        if isinstance(value, str)
        else {True: "true", False: "false", None: "null"}.get(value, str(value))
        if value is None or isinstance(value, bool)
        else str(value)
    )
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"
