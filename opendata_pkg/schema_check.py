"""Whether a document certainly follows a JSON Schema: at once, for documents that are as they should be. Pure.

jsonschema is the judge. But it and what it brings take a sixth of a second to import, and most documents have no
fault: those that are plainly right pass here, and jsonschema is asked about all others and names the fault. So "no"
only means "ask": 3.0 is a whole number to a schema, and is not looked at so closely here.

Keywords are those that schemas/internal/ uses, and mean what JSON Schema 2020-12 says (Core, section 10; Validation,
sections 6 and 7).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Any], bool]

_TYPES: Mapping[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
# What says nothing of a document; `then` and `additionalProperties` are looked at with the keyword that they go with.
_WORDS = frozenset({"$schema", "$id", "$defs", "$comment", "title", "description", "then", "additionalProperties"})
# A subschema of these keywords alone is answered exactly, so that the opposite of the answer is an answer too.
_EXACT = frozenset({"required", "not"})

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What links look like, out of all that RFC 3986 allows.
_LINK = re.compile(
    r"https?://[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?(/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
)


class UnknownKeywordError(ValueError):
    """A schema says something that is not known here."""


def compile_schema(schema: Mapping[str, Any]) -> Check:
    """A test of JSON values: True if they follow the schema, False if jsonschema has to be asked.

    Raises:
        UnknownKeywordError: the schema has a keyword, format or reference that is not known here.
    """
    return _Compiler(schema).check(schema)


class _Compiler:
    """Makes the tests of a schema and of its parts; references are to its own `$defs`."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._referred: dict[str, Check] = {}

    def check(self, schema: Mapping[str, Any]) -> Check:
        """All keywords of a schema together."""
        tests = [self._keyword(name, schema) for name in schema if name not in _WORDS]
        if "additionalProperties" in schema and "properties" not in schema:
            tests.append(self._properties({}, schema))
        return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)

    def _keyword(self, name: str, schema: Mapping[str, Any]) -> Check:
        if name in _SIMPLE:
            return _SIMPLE[name](schema[name])
        with_parts: dict[str, Callable[[Any, Mapping[str, Any]], Check]] = {
            "$ref": self._reference,
            "properties": self._properties,
            "propertyNames": self._names,
            "items": self._items,
            "anyOf": self._any_of,
            "not": self._not,
            "if": self._if,
        }
        if name not in with_parts:
            raise UnknownKeywordError(name)
        return with_parts[name](schema[name], schema)

    def _names(self, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Check:
        test = self.check(wanted)
        return lambda value: type(value) is not dict or all(map(test, value))

    def _items(self, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Check:
        test = self.check(wanted)
        return lambda value: type(value) is not list or all(map(test, value))

    def _any_of(self, wanted: list[Mapping[str, Any]], _: Mapping[str, Any]) -> Check:
        tests = [self.check(one) for one in wanted]
        return lambda value: any(test(value) for test in tests)

    def _not(self, wanted: Mapping[str, Any], _: Mapping[str, Any]) -> Check:
        test = self._exact(wanted)
        return lambda value: not test(value)

    def _if(self, wanted: Mapping[str, Any], schema: Mapping[str, Any]) -> Check:
        condition, then = self._exact(wanted), self.check(schema.get("then", {}))
        return lambda value: not condition(value) or then(value)

    def _exact(self, schema: Mapping[str, Any]) -> Check:
        if not _EXACT.issuperset(schema):
            raise UnknownKeywordError(f"if or not with {sorted(schema)}")
        return self.check(schema)

    def _reference(self, reference: str, _: Mapping[str, Any]) -> Check:
        name = reference.removeprefix("#/$defs/")
        if name == reference:
            raise UnknownKeywordError(reference)
        if name not in self._referred:
            # Branches hold branches: what they refer to is looked up when a document is looked at.
            self._referred[name] = lambda value: self._referred[name](value)  # noqa: PLW0108 - another one by then
            self._referred[name] = self.check(self._root["$defs"][name])
        return self._referred[name]

    def _properties(self, known: Mapping[str, Any], schema: Mapping[str, Any]) -> Check:
        tests = {name: self.check(part) for name, part in known.items()}
        more = schema.get("additionalProperties", True)
        other = self.check(more) if isinstance(more, dict) else lambda _: bool(more)
        return lambda value: (
            type(value) is not dict or all(tests.get(name, other)(item) for name, item in value.items())
        )


def _type(wanted: str | list[str]) -> Check:
    if not _TYPES.keys() >= {*([wanted] if isinstance(wanted, str) else wanted)}:
        raise UnknownKeywordError(f"type {wanted}")
    types = frozenset(_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    return lambda value: type(value) in types


def _enum(wanted: list[Any]) -> Check:
    # `True == 1` in Python, not in JSON.
    known = frozenset((type(one), one) for one in wanted)
    return lambda value: isinstance(value, str | int) and (type(value), value) in known


def _required(wanted: list[str]) -> Check:
    names = frozenset(wanted)
    return lambda value: type(value) is not dict or value.keys() >= names


def _pattern(wanted: str) -> Check:
    # Compiled when it is first needed, and kept by `re`.
    return lambda value: type(value) is not str or re.search(wanted, value) is not None


def _format(wanted: str) -> Check:
    if wanted not in _FORMATS:
        raise UnknownKeywordError(f"format {wanted}")
    test = _FORMATS[wanted]
    return lambda value: type(value) is not str or test(value)


def _unique(wanted: bool) -> Check:  # noqa: FBT001 - a schema's value
    def test(value: Any) -> bool:
        # Only texts: what else is equal is jsonschema's to say.
        return type(value) is not list or (all(type(one) is str for one in value) and len({*value}) == len(value))

    return test if wanted else lambda _: True


def _long(kind: type[str | list[Any]], limit: int) -> Check:
    return lambda value: not isinstance(value, kind) or len(value) >= limit


def _is_time(text: str) -> bool:
    if _TIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _is_time,
    "uri": lambda text: _LINK.fullmatch(text) is not None,
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
    "email": lambda text: "@" in text,
}
_SIMPLE: Mapping[str, Callable[[Any], Check]] = {
    "type": _type,
    "const": lambda wanted: _enum([wanted]),
    "enum": _enum,
    "required": _required,
    "pattern": _pattern,
    "format": _format,
    "uniqueItems": _unique,
    "minLength": lambda limit: _long(str, limit),
    "minItems": lambda limit: _long(list, limit),
    "maxLength": lambda limit: lambda value: type(value) is not str or len(value) <= limit,
    # Of no number that is none here; `type` says what it must be.
    "minimum": lambda limit: lambda value: not isinstance(value, int | float) or value >= limit,
}
