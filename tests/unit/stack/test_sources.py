"""Another suite of the distribution comes from the mirrors that the machine uses already."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.packages import PackagesError, sources_of


def test_both_forms_of_a_sources_list_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian sid main\ndeb http://one.example/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d" / "a.sources").write_text(
        "Types: deb\nURIs: http://two.example/debian\nSuites: bookworm\n\nTypes: deb\nURIs: http://two.example/debian-security\n"
    )
    lines = sources_of("forky", tmp_path).splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://one.example/debian forky main",
        "http://two.example/debian forky main",
    ]


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "b.list").write_text("deb https://other.example/apt stable main\n")
    with pytest.raises(PackagesError, match="names no Debian mirror"):
        sources_of("forky", tmp_path)
