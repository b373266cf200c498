from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.matcher import MAX_VALUE, Matcher, check_expression, parse_matchers
from catalog.model import Binding


@pytest.mark.parametrize(
    ("text", "matchers"),
    [
        ('alertname="HostDown", env=~"prod|stage"', [("alertname", "=", "HostDown"), ("env", "=~", "prod|stage")]),
        ('{alertname="HostDown"}', [("alertname", "=", "HostDown")]),
        (" { a = b , } ", [("a", "=", "b")]),
        ("größe!=5", [("größe", "!=", "5")]),
        ('"with space"!~"x.*"', [("with space", "!~", "x.*")]),
        (r'a="q\"\\\n\u00e9\x41"', [("a", "=", 'q"\\\né' + "A")]),
        ('🎉="1"', [("🎉", "=", "1")]),
        ('a=""', [("a", "=", "")]),
        ("", []),
        ("{}", []),
    ],
)
def test_what_alertmanager_understands(text: str, matchers: list[tuple[str, str, str]]) -> None:
    assert parse_matchers(text) == tuple(Matcher(*each) for each in matchers)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "character 2: one of =, !=, =~, !~ is expected"),
        ("a=", "character 3: a value is expected"),
        ("=b", "character 1: a label's name is expected"),
        ('a="b', "a closing quote is missing"),
        ("a=b c=d", "put commas between matchers"),
        ("{a=b", "a closing } is missing"),
        ("a=b}", "is not expected here"),
        (r'a="\q"', r"\q is not an escape"),
        (r'a="\ud800"', "is not an escape"),
        ('a=~"["', "is not a regular expression"),
        ("a,b=c", "one of ="),
    ],
)
def test_what_it_does_not(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_matchers(text)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.sampled_from(["=", "!="]), st.text(max_size=20))
def test_written_and_read_back(name: str, operator: str, value: str) -> None:
    matcher = Matcher(name, operator, value)
    assert parse_matchers(str(matcher)) == (matcher,)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_matchers(text)
    except ValueError as error:
        assert "\n" not in str(error).splitlines()[0]  # noqa: PT017 - that it is a ValueError is what counts


@pytest.mark.parametrize(
    ("matcher", "labels", "fits"),
    [
        ('a="x"', {"a": "x"}, True),
        ('a="x"', {}, False),
        ('a!="x"', {}, True),
        ('a=""', {}, True),
        ('a=~"x|y"', {"a": "y"}, True),
        ('a=~"x"', {"a": "xx"}, False),
        ('a=~".*x.*"', {"a": "1x2"}, True),
        ('a=~"x"', {"a": "x\n"}, False),
        ('a!~"x.+"', {"a": "x"}, True),
        ('a!~"x.+"', {"a": "xy"}, False),
        ('a=~"\\\\d"', {"a": "٣"}, False),
    ],
)
def test_matching(matcher: str, labels: dict[str, str], fits: bool) -> None:
    (one,) = parse_matchers(matcher)
    assert one.matches(labels) is fits


def test_all_matchers_of_a_binding_must_fit() -> None:
    binding = Binding.model_validate(
        {"matchers": ['alertname="HostDown"', "env=prod, dc!=b"], "target": "t", "playbooks": ["p"]}
    )
    assert binding.matchers == ('alertname="HostDown"', 'env="prod"', 'dc!="b"')
    assert binding.matches({"alertname": "HostDown", "env": "prod"})
    assert not binding.matches({"alertname": "HostDown", "env": "prod", "dc": "b"})


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|b)*x", "(a|aa)+", "(x?y?)+", "([0-9]{1,20}){20}", ".*a.*b.*c.*d", "(.*){4}"]
)
def test_expressions_that_could_take_for_ever_are_refused(pattern: str) -> None:
    if pattern == "(a|b)*x":  # one character out of several is no choice to come back to
        check_expression(pattern)
        return
    with pytest.raises(ValueError, match=r"for ever|more than 3"):
        check_expression(pattern)


@pytest.mark.parametrize("pattern", ["x(?=y)", "(?<!x)y", r"(a)\1", "(?>a)", "a++", "[[:alpha:]]", "(?P<n>a)(?P=n)"])
def test_what_alertmanagers_expressions_do_not_have_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expression"):
        check_expression(pattern)


@pytest.mark.parametrize(
    "pattern", ["(prod|stage)-[0-9]{1,3}", r"([0-9]{1,3}\.){3}[0-9]{1,3}", ".*a.*b.*", "(a|b)?", "(?i)x"]
)
def test_useful_expressions_are_taken(pattern: str) -> None:
    check_expression(pattern)


def test_the_slowest_expression_that_is_taken_is_quick_on_the_worst_label() -> None:
    (matcher,) = parse_matchers('a=~".*a.*a.*b"')
    begin = time.perf_counter()
    assert not matcher.matches({"a": "a" * MAX_VALUE})
    assert time.perf_counter() - begin < 2
    assert not matcher.matches({"a": "a" * 10_000_000 + "b"})
