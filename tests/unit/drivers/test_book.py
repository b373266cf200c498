"""A book of notifications remembers what it has read, and is not deceived by what others do to its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from remediator.drivers.notify import book as module
from remediator.drivers.notify.book import Book

LINE = {"message": "look"}
APPENDER = """
import sys
from pathlib import Path
from remediator.drivers.notify.book import Book
book = Book(Path(sys.argv[1]))
sys.stdin.readline()
print(sum(book.append(f"key-{number}", {"message": "x" * 50}) for number in range(int(sys.argv[2]))))
"""


def keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notifications.log"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that were read, each time they were."""
    found: list[bytes] = []
    key = module._key

    def heard(line: bytes) -> object:
        found.append(line)
        return key(line)

    monkeypatch.setattr(module, "_key", heard)
    return found


def test_each_key_is_there_once(path: Path) -> None:
    book = Book(path)
    assert not book.holds("a")
    assert book.append("a", LINE)
    assert book.append("b", LINE)
    assert not book.append("a", {"message": "other"})
    assert (book.holds("a"), book.holds("b"), book.holds("c")) == (True, True, False)
    assert keys(path) == ["a", "b"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_line_is_read_once(path: Path, read: list[bytes]) -> None:
    book = Book(path)
    for number in range(300):
        assert not book.holds(f"k{number}")
        assert book.append(f"k{number}", LINE)
    assert all(book.holds(f"k{number}") for number in range(300))
    assert not book.holds("k300")
    assert len(read) == 300


def test_many_lines_at_once_and_few_after_them(path: Path) -> None:
    first, second = Book(path), Book(path)
    for number in range(0, 300, 2):
        first.append(f"k{number}", LINE)
    assert second.holds("k0")
    for number in range(1, 300, 2):
        first.append(f"k{number}", LINE)
    assert all(second.holds(f"k{number}") for number in range(300))
    assert not any(second.holds(f"other{number}") for number in range(300))


def test_what_another_appends_in_between_is_known(path: Path, read: list[bytes]) -> None:
    one, other = Book(path), Book(path)
    one.append("a", LINE)
    assert other.append("b", LINE)
    assert one.holds("b")
    assert not one.append("b", LINE)
    assert other.append("c", LINE)
    assert not one.append("c", LINE)
    assert keys(path) == ["a", "b", "c"]
    assert len(read) == 5  # a, b and c by the one; a and b by the other, which has not looked since


def test_a_file_that_was_replaced_is_read_anew(path: Path) -> None:
    book = Book(path)
    book.append("a", LINE)
    other = path.with_name("other")
    other.write_text('{"key": "b", "message": "longer than the first one was, by far"}\n' * 2)
    os.replace(other, path)
    assert not book.holds("a")
    assert book.holds("b")
    assert book.append("a", LINE)
    assert keys(path) == ["b", "b", "a"]


def test_a_file_that_was_replaced_by_one_that_ends_alike_is_read_anew(path: Path) -> None:
    book = Book(path)
    book.append("a", LINE)
    book.append("b", {"message": "long " * 100})
    assert book.holds("b")
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b'"a"', b'"c"'))
    os.replace(other, path)
    assert (book.holds("a"), book.holds("b"), book.holds("c")) == (False, True, True)


def test_a_file_that_is_gone_and_comes_again_is_read_anew(path: Path) -> None:
    book = Book(path)
    book.append("a", LINE)
    path.unlink()
    assert not book.holds("a")
    assert book.append("a", LINE)
    assert book.holds("a")
    assert keys(path) == ["a"]


@pytest.mark.parametrize("after", ["", '{"key": "c"}\n', '{"key": "c", "message": "' + "long " * 50 + '"}\n'])
def test_a_file_that_was_cut_is_read_anew(path: Path, after: str) -> None:
    """Also when as much, or more, was written since: its place is the same, its words are others."""
    book = Book(path)
    book.append("a", LINE)
    book.append("b", LINE)
    with path.open("r+") as file:
        file.truncate(0)
        file.write(after)
    assert (book.holds("a"), book.holds("b"), book.holds("c")) == (False, False, bool(after))
    assert book.append("b", LINE)
    assert keys(path) == [*(["c"] if after else []), "b"]


def test_half_a_line_is_none_and_swallows_none(path: Path) -> None:
    book = Book(path)
    book.append("a", LINE)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"key": "b", "mess')
    assert not book.holds("b")
    assert book.append("b", LINE)
    assert book.append("c", LINE)
    assert path.read_bytes().startswith(whole + b'{"key": "b", "mess\n{"key": "b"')
    assert all(Book(path).holds(key) and book.holds(key) for key in "abc")


def test_a_line_that_another_has_not_finished_yet_is_known_when_it_is(path: Path) -> None:
    book = Book(path)
    book.append("a", LINE)
    with path.open("ab") as file:
        file.write(b'{"key": ')
        file.flush()
        assert not book.holds("b")
        file.write(b'"b"}')
        file.flush()
        assert not book.holds("b")
        file.write(b"\n")
    assert book.holds("b")


@pytest.mark.parametrize("noise", [b"\n", b"no json\n", b'["b"]\n', b'{"key": 1}\n', b'{"key": null}\n', b"\xff\xfe\n"])
def test_what_others_wrote_is_no_key(path: Path, noise: bytes) -> None:
    book = Book(path)
    book.append("a", LINE)
    with path.open("ab") as file:
        file.write(noise)
    assert not book.holds("b")
    assert book.append("b", LINE)
    assert book.holds("a")
    assert book.holds("b")


def test_what_could_not_be_read_to_its_end_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abc":
        Book(path).append(key, LINE)
    book, whole = Book(path), module._key

    def fails(line: bytes) -> object:
        if b'"b"' in line:
            raise OSError("the disk says no")
        return whole(line)

    monkeypatch.setattr(module, "_key", fails)
    with pytest.raises(OSError, match="says no"):
        book.holds("a")
    monkeypatch.setattr(module, "_key", whole)
    assert all(book.holds(key) for key in "abc")


def test_nobody_appends_between_a_look_and_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, appended = Book._has, []
    other = threading.Thread(target=lambda: appended.append(Book(path).append("a", LINE)))

    def looks(book: Book, *words: Any) -> bool:
        found = looked(book, *words)
        if other.ident is None:
            other.start()
            other.join(0.3)  # it waits for the file as long as this one has it
        return found

    monkeypatch.setattr(Book, "_has", looks)
    assert Book(path).append("a", LINE)
    other.join()
    assert appended == [False]
    assert keys(path) == ["a"]


def test_of_several_processes_one_appends_each_key(path: Path) -> None:
    def start() -> subprocess.Popen[Any]:
        command = [sys.executable, "-c", APPENDER, str(path), "200"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes = [start() for _ in range(3)]
    try:
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        appended = [int(each.communicate(timeout=60)[0]) for each in processes]
    finally:
        for each in processes:
            each.kill()
            each.wait()
    assert sum(appended) == 200
    assert sorted(keys(path)) == sorted(f"key-{number}" for number in range(200))
