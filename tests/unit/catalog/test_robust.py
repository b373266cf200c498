"""Whatever the bytes, loading gives a catalog or a CatalogError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.fault import Fault
from catalog.load import SHIPPED, CatalogError, load_catalog, load_config, load_inventory, load_policy

SOURCES = [path.read_text() for path in sorted(SHIPPED.glob("*.yaml"))]
LOADERS = [lambda path: load_catalog([path]), load_config, load_inventory, load_policy]

WORDS = [
    *("metrics", "playbooks", "bindings", "remove", "id", "unit", "bands", "good", "warning", "critical", "derive"),
    *("kind", "gauge", "source", "steps", "verb", "args", "by", "matchers", "targets", "limits", "min", "approvals"),
    *("tier_1", "interval", "30s", "5..6", "api.error_rate", "shift-load", "${HOME}", "${}", "catalog", "ledger"),
]
words = st.sampled_from(WORDS)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=4), inner, max_size=6)
)


relaxed = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
"""No deadline: how long an example takes says nothing on a busy machine."""


def refused(load: Callable[[Path], object], path: Path) -> tuple[Fault, ...] | None:
    try:
        load(path)
    except CatalogError as error:
        return error.faults
    return None


def loads_or_refuses(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(data)
        for load in LOADERS:
            faults = refused(load, path)
            assert faults is None or faults
            assert all(fault.message and "\n" not in str(fault) for fault in faults or ())


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    loads_or_refuses(data)


@relaxed
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    loads_or_refuses(text.encode("utf-8", "surrogatepass"))


@relaxed
@given(trees)
def test_any_structure(tree: object) -> None:
    loads_or_refuses(yaml.safe_dump(tree, allow_unicode=True).encode())


@relaxed
@given(st.sampled_from(SOURCES), st.data())
def test_shipped_files_with_something_changed(source: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(begin, min(len(source), begin + 40)))
    middle = data.draw(
        st.text(max_size=10) | st.sampled_from(["\t", "- ", ": ", "{", "[", "&a ", "*a", "\n", '"', "|", "%"])
    )
    loads_or_refuses((source[:begin] + middle + source[end:]).encode("utf-8", "surrogatepass"))
