"""The API's description says what the API does."""

from __future__ import annotations

import inspect
import json

import jsonschema
import pytest

from remediator.api import handlers
from remediator.api.openapi import BODIES, document

FOUND = document(handlers.ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "handler"), handlers.ROUTES, ids=[f"{m} {p}" for m, p, _ in handlers.ROUTES]
)
def test_every_route_is_described_with_its_role(method: str, path: str, handler: object) -> None:
    operation = FOUND["paths"][path][method.lower()]
    assert operation["x-role"] in ("alertmanager", "viewer", "approver", "operator", "admin")
    named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
    assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    takes_a_body = "_body(request)" in inspect.getsource(handler) or handler.__name__ in (  # type: ignore[arg-type, attr-defined]
        "post_alerts",
        "approve",
        "reject",
        "undo_run",
        "release_run",
    )
    assert ("requestBody" in operation) is takes_a_body


def test_operations_have_distinct_names_and_the_document_is_json() -> None:
    names = [operation["operationId"] for path in FOUND["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert json.loads(json.dumps(FOUND)) == FOUND


def test_body_schemas_are_schemas_of_living_handlers() -> None:
    known = {handler.__name__ for _, _, handler in handlers.ROUTES}
    assert set(BODIES) <= known
    for schema in BODIES.values():
        jsonschema.Draft202012Validator.check_schema(schema)
