"""Whether a document has the shape that a JSON Schema asks for, said in words that tell what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from catalog.document import Document, Where
from catalog.fault import Fault, did_you_mean, shown

_TYPES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "a word or text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def structure_faults(document: Document, schema: Mapping[str, Any]) -> list[tuple[Where, Fault]]:
    """Every way in which the document departs from the schema, with where it does."""
    found: list[tuple[Where, Fault]] = []
    for error in Draft202012Validator(schema).iter_errors(document.value):
        found += [
            (path, document.fault(path, said)) for path, said in _said(error, tuple(error.absolute_path), document)
        ]
    return sorted(dict.fromkeys(found), key=lambda each: (each[1].line, each[1].column))


def _said(error: SchemaError, path: Where, document: Document) -> Iterator[tuple[Where, str]]:
    rule, wanted, value = str(error.validator), _any(error.validator_value), _any(error.instance)
    quoted = "what the placeholder holds" if path in document.private else shown(value)
    if rule in ("anyOf", "oneOf"):
        yield from _said_of_choice(error, path, document)
    elif rule == "additionalProperties":
        known = list(_any(error.schema).get("properties", {}))
        for key in value:
            if key not in known:
                listed = did_you_mean(key, known) or "; known here: " + ", ".join(known)
                yield (*path, key), f"unknown {shown(key)}{listed}"
    elif rule == "required":
        missing = error.message.split("'")[1]
        strangers = [key for key in value if key not in _any(error.schema).get("properties", {})]
        if not did_you_mean(missing, strangers):  # else the misspelt key says it already
            yield path, f'"{missing}" is missing'
    elif rule in ("enum", "const"):
        allowed = [str(each) for each in (wanted if rule == "enum" else [wanted])]
        yield path, f"unknown {quoted}{did_you_mean(value, allowed) or '; write one of ' + ', '.join(allowed)}"
    elif rule == "type" and "enum" in _any(error.schema):
        return  # the rule "enum" says it better
    elif rule == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        yield path, f"{' or '.join(_TYPES[kind] for kind in kinds)} is expected, not {_kind(value, quoted)}"
    else:
        yield path, _bound(rule, wanted, quoted, _any(error.schema).get("examples", ()))


def _any(value: Any) -> Any:
    """A schema's content, which the library types as anything at all."""
    return value


def _kind(value: object, quoted: str) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else quoted


def _bound(rule: str, wanted: Any, quoted: str, examples: Sequence[object]) -> str:
    like = " or ".join(map(str, examples))
    return {
        "minimum": f"{quoted} is too small; at least {wanted}",
        "maximum": f"{quoted} is too large; at most {wanted}",
        "exclusiveMinimum": f"{quoted} is too small; more than {wanted}",
        "exclusiveMaximum": f"{quoted} is too large; less than {wanted}",
        "minItems": f"at least {wanted} expected",
        "maxItems": f"at most {wanted} expected",
        "minLength": "it must not be empty",
        "maxLength": f"longer than {wanted} characters",
        "pattern": f"{quoted} does not have the right form; write it like {like}"
        if like
        else f"{quoted} is not {wanted}",
    }.get(rule, f"{quoted} breaks the rule {rule}: {shown(wanted)}")


def _said_of_choice(error: SchemaError, path: Where, document: Document) -> Iterator[tuple[Where, str]]:
    """Faults of the one alternative that was meant: the one of the value's own kind."""
    branches: dict[Any, list[SchemaError]] = {}
    for sub in error.context or ():
        branches.setdefault(sub.schema_path[0], []).append(sub)
    kinds = [branch for branch in branches.values() if not _wrong_kind(branch)]
    discriminator = _any(error.schema).get("discriminator")
    if isinstance(error.instance, dict) and discriminator:
        key = discriminator["propertyName"]
        known = list(discriminator["mapping"])
        said = error.instance.get(key)
        if said not in known:
            hint = did_you_mean(said, known) or "; write one of " + ", ".join(known)
            yield (*path, key), f'"{key}" is missing{hint}' if said is None else f"unknown {shown(said)}{hint}"
            return
        kinds = [branch for branch in kinds if not any(_is_at(sub, key) for sub in branch)]
    if len(kinds) == 1:
        for sub in kinds[0]:
            yield from _said(sub, (*path, *sub.relative_path), document)
        return
    wanted = [str(sub.validator_value) for branch in branches.values() for sub in branch if sub.validator == "type"]
    expected = " or ".join(_TYPES[kind] for kind in dict.fromkeys(wanted) if kind in _TYPES and kind != "null")
    quoted = "what the placeholder holds" if path in document.private else shown(error.instance)
    yield path, f"{expected or 'another form'} is expected, not {_kind(error.instance, quoted)}"


def _wrong_kind(branch: Iterable[SchemaError]) -> bool:
    return any(sub.validator == "type" and not sub.relative_path for sub in branch)


def _is_at(error: SchemaError, key: str) -> bool:
    return tuple(error.relative_path) == (key,)


def validation_faults(error: ValidationError, misspelt: Sequence[str] = ()) -> Iterator[tuple[Where, str]]:
    """What the typed models found wrong, as where (below what was validated) and what.

    A field that is missing because one of the `misspelt` keys was meant for it is not told again.
    """
    errors = error.errors(include_url=False, include_input=False)
    for each in errors:
        where = each["loc"]
        if any(where == other["loc"][: len(where)] and where != other["loc"] for other in errors):
            continue  # a part of it is wrong, and says so itself
        if each["type"] == "missing":
            if len(where) == 1 and did_you_mean(where[0], misspelt):
                continue
            yield where[:-1], f'"{where[-1]}" is missing'
        else:
            yield where, each["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
