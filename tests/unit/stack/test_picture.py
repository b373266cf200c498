"""The picture of a drill is drawn from what the README shows, and nothing in it is lost."""

from __future__ import annotations

import re
from html import unescape
from xml.etree import ElementTree

import pytest

from stack.picture import PICTURE, README, drawn, recorded


def test_the_picture_shows_what_the_readme_shows() -> None:
    lines = recorded(README.read_text(encoding="utf-8"))
    assert lines[0] == "$ grace drill cpu"
    assert lines[-1].startswith("  cpu: healed in ")
    assert PICTURE.read_text(encoding="utf-8") == drawn(lines), "draw it again: python -m stack.picture"


def test_every_line_is_drawn_whole_and_inside() -> None:
    lines = ["$ grace drill cpu", "    +1.0 s  detected: a < b & c is critical", "x" * 90, "  cpu: healed in 24 s"]
    picture = drawn(lines)
    root = ElementTree.fromstring(picture)
    texts = root.findall("{http://www.w3.org/2000/svg}text")
    assert ["".join(text.itertext()) for text in texts] == lines
    width, height = (int(side) for side in root.attrib["viewBox"].split()[2:])
    assert width > 90 * 9
    assert max(int(text.attrib["y"]) for text in texts) < height
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", ""), "a picture in a README fetches nothing"
    assert unescape("".join(re.findall('class="seen">([^<]*)', picture))) == "detected: a < b & c is critical"


def test_a_page_without_a_drill() -> None:
    with pytest.raises(ValueError, match="no drill"):
        recorded("```console\n$ grace status\n```\n")
