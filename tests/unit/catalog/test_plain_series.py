"""What is taken for PromQL without a parser is PromQL; what ships with Grace needs none."""

from __future__ import annotations

import subprocess
import sys

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import notation


@given(st.from_regex(notation._PLAINLY_PROMQL, fullmatch=True))
def test_what_looks_plain_is_promql(expression: str) -> None:
    promql_parser.parse(expression)
    assert notation.parsed_promql(expression) == expression


@pytest.mark.parametrize(
    "expression", ['a_b_c{d=~"("}', 'a_b_c{d="x}', "a_b_c{", "a_b_c or", 'a_b_c{d=~"*"}', "sum by"]
)
def test_what_is_none_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="is not PromQL"):
        notation.parsed_promql(expression)


def test_what_ships_needs_no_parser() -> None:
    code = "import sys; from catalog.load import load_catalog; load_catalog(); sys.exit('promql_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
