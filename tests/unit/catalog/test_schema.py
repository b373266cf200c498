from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from catalog.document import read_document
from catalog.load import SHIPPED
from catalog.model import Unit
from catalog.schema import COMMITTED, MODELS, file_of, schema, text_of


@pytest.mark.parametrize("name", list(MODELS))
def test_each_is_a_valid_schema_of_draft_2020_12(name: str) -> None:
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(dict(schema(name)))


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_schemas_are_those_of_the_models(name: str) -> None:
    assert file_of(name).read_text(encoding="utf-8") == text_of(name), "run: grace catalog schema --write"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.name)
def test_every_entries_file_names_its_schema_and_fulfils_it(path: Path) -> None:
    modeline = path.read_text().splitlines()[0]
    assert modeline.startswith("# yaml-language-server: $schema=")
    target = (path.parent / modeline.partition("=")[2]).resolve()
    Draft202012Validator(json.loads(target.read_text())).validate(read_document(path).value)


@pytest.mark.parametrize("name", ["event", "snapshot", "metric", "playbook"])
def test_examples_fulfil_their_schema(name: str) -> None:
    assert schema(name)["examples"]
    for example in schema(name)["examples"]:
        Draft202012Validator(dict(schema(name))).validate(example)


def test_enums_and_descriptions_reach_the_editor() -> None:
    definitions = schema("catalog")["$defs"]
    assert definitions["Unit"]["enum"] == [unit.value for unit in Unit]
    properties = definitions["MetricCatalogEntry"]["properties"]
    assert "People" in properties["unit_label"]["description"] or "people" in properties["unit_label"]["description"]
    assert definitions["PlaybookDefinition"]["properties"]["tier"]["enum"] == ["tier_1", "tier_2", "tier_3", "tier_4"]
