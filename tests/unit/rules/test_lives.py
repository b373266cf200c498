"""The model that promtool tests are generated from, against strings that were worked out by hand."""

from __future__ import annotations

from itertools import product

import pytest

from rules.lives import LIVES, Told, judge

RANKS = {"g": 0, "w": 1, "c": 2, "x": None}


def fires(samples: str, windows: str) -> str:
    told = Told(
        tuple(RANKS[letter] for letter in samples),
        tuple(None if rank == "-" else int(rank) for rank in windows),
        tuple(letter != "x" for letter in samples),
    )
    return "".join(str(rank or 0) for rank in judge(told, 10).severity)


@pytest.mark.parametrize(
    ("samples", "sustained"),
    [
        ("xxxxcxxxxxxx", "............"),
        ("ggggcccggggggggg", "......####......"),
        ("ggggcxccggggggggg", ".......####......"),
        ("gggcccccxcccggggggg", ".....##########...."),
        ("ggccccgccccgccccggggg", "....###############.."),
    ],
)
def test_critical_is_three_measurements_and_outlives_one_that_is_not(samples: str, sustained: str) -> None:
    fired = fires(samples, "0" * len(samples))
    assert fired.replace("2", "#").replace("0", ".").replace("1", ".") == sustained


@pytest.mark.parametrize(
    ("samples", "windows", "fired"),
    [
        ("ggggggggccgccgccgccgccgccggggggggggggggg", "0000000022222222222222222222222222000000",
         "0000000000011111111111111110000000000000"),
        ("ggggggggcgggggggggggggggg", "0000000022222222220000000", "0000000000000000000000000"),
        ("ggggggggwwcwwwwwwgggggggggggggg", "0000000011222222222211111100000",
         "0000000011111111111000000000000"),
    ],
)  # fmt: skip
def test_warning_is_raised_and_ends_with_three_good_measurements(samples: str, windows: str, fired: str) -> None:
    assert fires(samples, windows) == fired


def test_sustained_is_the_last_three_none_older_than_three_and_a_half_intervals() -> None:
    """All 81 patterns of good, critical and missed, and what follows them nobody knows yet."""
    for pattern in product("gcx", repeat=4):
        wanted = False
        for until in range(1, 5):
            seen = [letter for letter in pattern[:until] if letter != "x"]
            wanted = wanted or seen[-3:] == ["c"] * 3
        assert (fires("ggg" + "".join(pattern), "0000000")[-1] == "2") == wanted, pattern


def test_stale_is_four_evaluations_without_a_sign_of_life_and_never_what_never_lived() -> None:
    def missed(signs: str) -> str:
        told = Told((None,) * len(signs), (None,) * len(signs), tuple(sign == "+" for sign in signs))
        return "".join("#" if each else "." for each in judge(told, 10).stale)

    assert missed("+++---+++") == "........."
    assert missed("+++------+") == "......###."
    assert missed("----------") == ".........."


def test_every_life_is_told_to_its_end() -> None:
    assert {len(life) for life in LIVES.values()} == {26}
