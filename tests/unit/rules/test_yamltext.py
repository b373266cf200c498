"""What is written reads back the same, in any parser of YAML."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from rules.yamltext import dump

texts = st.text() | st.sampled_from(
    ["yes", "null", "1", "1.5", "- a", "a: b", "#", "'", "a\nb", " a\nb", "a\n", "~", "0x1", "1:30"]
)
scalars = st.none() | st.booleans() | st.integers() | texts
keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=3), max_leaves=12
)


@given(value=st.dictionaries(keys, values, max_size=4))
def test_round_trip(value: dict[str, Any]) -> None:
    assert (yaml.safe_load(dump(value, "DO NOT EDIT\nnor this")) or {}) == value


def test_forms() -> None:
    text = dump({"groups": [{"name": "a.b", "interval": "30s", "expr": "a\nor\nb"}], "none": []}, "not")
    assert text == (
        "# not\ngroups:\n  - name: a.b\n    interval: 30s\n    expr: |-\n      a\n      or\n      b\nnone: []\n"
    )
