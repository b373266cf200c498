"""The documents that ingestion learns from: a local folder with a manifest of what each of them should be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = 80
ORIGINS = ("handbook", "runbooks", "forum", "newsfeed")
FORBIDDEN = {"secrets": "BEGIN PRIVATE KEY", "destructive": "rm -rf /"}
"""Rules by name: a document that holds one of these is never learned."""
_FORBIDDEN_DOCUMENT = 37
_WRONG_EXERCISE_EVERY = 20


@dataclass(frozen=True, slots=True)
class Document:
    """One entry of the manifest: where it comes from, its file, and the digest that its content should have."""

    name: str
    origin: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """What a sandbox run computes: the sum of these numbers, and what it should be."""

    numbers: tuple[int, ...]
    answer: int


def write_sources(folder: Path) -> None:
    """Write the documents and their manifest, the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for number in range(DOCUMENTS):
        name, content = f"document-{number:03}.txt", _content(number)
        (folder / name).write_text(content, encoding="utf-8")
        origin = ORIGINS[number % len(ORIGINS)]
        manifest.append({"name": name, "origin": origin, "sha256": hashlib.sha256(content.encode()).hexdigest()})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> tuple[Document, ...]:
    """The documents in their order."""
    return tuple(Document(**row) for row in json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def exercise(number: int) -> Exercise:
    """The sandbox's exercise of this number: one in twenty has a wrong answer in the book."""
    numbers = tuple((number * 7 + part * 13) % 101 for part in range(12))
    wrong = number % _WRONG_EXERCISE_EVERY == _WRONG_EXERCISE_EVERY - 1
    return Exercise(numbers, sum(numbers) + (1 if wrong else 0))


def passes(task: Exercise) -> bool:
    """Whether the sandbox comes to the answer in the book."""
    total = 0
    for number in task.numbers:
        total += number
    return total == task.answer


def forbidden_by(content: str) -> str | None:
    """The name of the rule that this content breaks, or None."""
    return next((rule for rule, words in FORBIDDEN.items() if words in content), None)


def _content(number: int) -> str:
    lines = [f"Document {number}", "", *(f"Fact {number}.{line}: {(number + 1) * line % 997}" for line in range(30))]
    if number == _FORBIDDEN_DOCUMENT:
        lines.append(f"To clean up, run {FORBIDDEN['destructive']}")
    return "\n".join(lines) + "\n"
