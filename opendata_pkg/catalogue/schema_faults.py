"""All faults of a document against a JSON Schema, in sentences of our own with what was probably meant. Pure.

jsonschema's messages are written for those who wrote the schema; these are for those who wrote the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.faults import listed, shown, suggest
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from opendata_pkg.strict_yaml import YamlPath

_TYPES = {
    "object": "a mapping of fields",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_FORMATS = {
    "date-time": "a time such as 2024-01-01T00:00:00Z",
    "date": "a date such as 2024-01-31",
    "uri": "a whole URL such as https://example.org/",
    "email": "an e-mail address",
    "uuid": "a UUID",
}
_LIMITS: dict[str, tuple[str, tuple[()] | tuple[str] | tuple[str, str]]] = {
    "minLength": ("at least", ("letter",)),
    "maxLength": ("at most", ("letter",)),
    "minItems": ("at least", ("entry", "entries")),
    "maxItems": ("at most", ("entry", "entries")),
    "minProperties": ("at least", ("field",)),
    "minimum": ("at least", ()),
    "maximum": ("at most", ()),
    "exclusiveMinimum": ("more than", ()),
}


@dataclass(frozen=True, slots=True, order=True)
class SchemaFault:
    """Where a document breaks its schema, why, and what was probably meant."""

    place: tuple[str | int, ...]
    message: str
    suggestion: str | None = None


def schema_faults(document: Any, validator: Validator) -> list[SchemaFault]:
    """Every fault once, in the order in which the document's parts stand."""
    found = [fault for error in validator.iter_errors(document) for fault in _explain(error)]
    order = {place: index for index, place in enumerate(_places(document, ()))}
    return sorted(dict.fromkeys(found), key=lambda fault: (order.get(fault.place, len(order)), fault.message))


def _places(value: Any, here: YamlPath) -> Iterator[YamlPath]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*here, key))


def _explain(error: ValidationError) -> Iterator[SchemaFault]:
    """One error of jsonschema as faults: several where it lumps fields together."""
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - as in `documents`

    place = tuple(error.absolute_path)
    value: Any = error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        # The error is of the name itself, and jsonschema's path ends above it.
        known = sorted(_enumerated(error.schema))
        fields = f"; known are {listed(known)}" if known else ""
        message = f"unknown field {shown(error.instance)}{fields}"
        yield SchemaFault((*place, str(error.instance)), message, suggest(error.instance, known))
    elif error.context and (best := best_match([error])) is not error and best is not None:
        yield from _explain(best)
    elif (explain := _SENTENCES.get(str(error.validator))) is not None:
        yield from explain(error, value, place)
    else:
        yield SchemaFault(place, error.message)


def _missing(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    assert isinstance(error.instance, dict)  # noqa: S101 - `required` speaks of nothing else
    for name in wanted:
        if name not in error.instance:
            yield SchemaFault(place, f"expected the field {shown(name)}, which is missing")


def _additional(error: ValidationError, _wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    assert isinstance(error.instance, dict)  # noqa: S101 - `additionalProperties` speaks of nothing else
    assert isinstance(error.schema, dict)  # noqa: S101 - it stands in a schema
    known = list(error.schema.get("properties", {}))
    for name in error.instance:
        if name not in known:
            message = f"unknown field {shown(name)}; known are {listed(known)}"
            yield SchemaFault((*place, name), message, suggest(name, known))


def _enum(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    message = f"expected one of {listed(wanted, 20)}, got {shown(error.instance)}"
    yield SchemaFault(place, message, suggest(error.instance, wanted))


def _const(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    yield SchemaFault(place, f"expected {shown(wanted)}, got {shown(error.instance)}")


def _pattern(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    meaning = error.schema.get("description") if isinstance(error.schema, dict) else None
    words = f" ({meaning.rstrip('.')})" if meaning else ""
    yield SchemaFault(place, f"expected a text of the form {wanted}{words}, got {shown(error.instance)}")


def _type(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    words = " or ".join(_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    yield SchemaFault(place, f"expected {words}, got {shown(error.instance)}")


def _format(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    words = _FORMATS.get(wanted, f"a {wanted}")
    yield SchemaFault(place, f"expected {words}, got {shown(error.instance)}")


def _limit(error: ValidationError, wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    limit, nouns = _LIMITS[str(error.validator)]
    words = counted(wanted, *nouns) if nouns else wanted
    yield SchemaFault(place, f"expected {limit} {words}, got {shown(error.instance)}")


def _unique(error: ValidationError, _wanted: Any, place: YamlPath) -> Iterator[SchemaFault]:
    assert isinstance(error.instance, list)  # noqa: S101 - `uniqueItems` speaks of nothing else
    twice = next(item for index, item in enumerate(error.instance) if item in error.instance[:index])
    yield SchemaFault(place, f"expected each entry once, got {shown(twice)} again")


_SENTENCES: dict[str, Callable[[ValidationError, Any, YamlPath], Iterator[SchemaFault]]] = {
    "required": _missing,
    "additionalProperties": _additional,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "type": _type,
    "format": _format,
    "uniqueItems": _unique,
    **dict.fromkeys(_LIMITS, _limit),
}


def _enumerated(schema: object) -> set[str]:
    """All words in the `enum`s and `const`s of a schema."""
    found: set[str] = set()
    if isinstance(schema, dict):
        values = [*schema.get("enum", ()), schema.get("const")]
        found.update(value for value in values if isinstance(value, str))
        for part in schema.values():
            found |= _enumerated(part)
    elif isinstance(schema, list):
        for part in schema:
            found |= _enumerated(part)
    return found
