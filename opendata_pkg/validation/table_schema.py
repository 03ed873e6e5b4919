"""Frictionless Table Schemas, as far as checking a CSV table against one needs them. Pure.

https://datapackage.org/standard/table-schema/: fields with a type and constraints, missing values, a primary key.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from datetime import date, datetime
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from opendata_pkg.faults import listed, shown, suggest
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

Rule = tuple["Callable[[Collection[str]], Iterable[str]]", str]
"""What picks the wrong ones out of values that are there, and what it expects in words.

It takes many at once, since most tables have no fault: a few calls in C then say so.
"""

# Their values compare as texts.
_DATES = ("date", "datetime")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|-?INF")
_BOOLEAN = re.compile(r"true|True|TRUE|1|false|False|FALSE|0")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


class UnusableTableSchemaError(InputError):
    """A Table Schema that a table cannot be checked against."""

    def __init__(self, where: str, fault: str) -> None:
        self.where, self.fault = where, fault
        super().__init__(f"{where}: {fault}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column: its name, its type, whether it may lack values or repeat them, and what each value must be."""

    name: str
    type: str
    required: bool
    unique: bool
    enum: tuple[str, ...]
    rules: tuple[Rule, ...]

    def faults_of(self, values: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """The values that are wrong, each with why and with what was probably meant; none is absent."""
        wrong: dict[str, tuple[str, str | None]] = {}
        for pick, expected in self.rules:
            for value in pick(values if not wrong else [v for v in values if v not in wrong]):
                wrong[value] = (f"expected {expected}, got {shown(value)}", suggest(value, self.enum))
        return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """The columns of a table, in order; the texts that stand for "no value"; the columns that tell rows apart."""

    fields: tuple[Field, ...]
    missing_values: frozenset[str]
    primary_key: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return [field.name for field in self.fields]

    @classmethod
    def from_dict(cls, document: Any, where: str) -> TableSchema:
        """Read a schema; `where` names it in errors.

        Raises:
            UnusableTableSchemaError: it has no fields, or one of a type that is not known here.
        """
        fields = document.get("fields") if isinstance(document, dict) else None
        if not isinstance(fields, list) or not fields:
            raise UnusableTableSchemaError(where, "expected a Table Schema with a list of `fields`")
        return cls(
            fields=tuple(_field(entry, where) for entry in fields),
            missing_values=frozenset(_words(document.get("missingValues", [""]), "missingValues", where)),
            primary_key=_words(document.get("primaryKey", []), "primaryKey", where),
        )


def _words(value: Any, name: str, where: str) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UnusableTableSchemaError(where, f"expected a list of texts as {name}, got {shown(value)}")
    return tuple(words)


def _field(entry: Any, where: str) -> Field:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise UnusableTableSchemaError(where, f"expected each field to have a name, got {shown(entry)}")
    name, kind = entry["name"], entry.get("type", "string")
    if not isinstance(kind, str) or kind not in _TYPE_RULES:
        meant = suggest(kind, _TYPE_RULES)
        raise UnusableTableSchemaError(
            where,
            f"field {name}: expected one of the types {listed(_TYPE_RULES)}, got {shown(kind)}"
            + (f"; did you mean {meant}?" if meant else ""),
        )
    constraints = _constraints(entry, kind, where)
    enum = tuple(str(value) for value in constraints.get("enum", ()))
    try:
        rules = (*_TYPE_RULES[kind], *_constraint_rules(constraints, enum, str if kind in _DATES else float))
    except re.error as error:
        raise UnusableTableSchemaError(where, f"field {name}: its pattern is no regular expression: {error}") from error
    return Field(
        name=name,
        type=kind,
        required=bool(constraints.get("required")),
        unique=bool(constraints.get("unique")),
        enum=enum,
        rules=rules,
    )


def _constraints(entry: Mapping[str, Any], kind: str, where: str) -> Mapping[str, Any]:
    """A field's constraints, those that are known here, each of the type that it needs."""
    constraints = entry.get("constraints", {})
    limit: tuple[type, ...] = (str,) if kind in _DATES else (int, float)
    types: dict[str, tuple[type, ...]] = {
        "required": (bool,),
        "unique": (bool,),
        "enum": (list,),
        "pattern": (str,),
        "minimum": limit,
        "maximum": limit,
        "minLength": (int,),
        "maxLength": (int,),
    }
    if not isinstance(constraints, dict):
        raise UnusableTableSchemaError(where, f"field {entry['name']}: expected constraints, got {shown(constraints)}")
    for name, wanted in types.items():
        # JSON's true is no number, though Python's is.
        if name in constraints and (
            not isinstance(value := constraints[name], wanted) or (isinstance(value, bool) and bool not in wanted)
        ):
            message = f"field {entry['name']}: expected a {name} that fits the type {kind}, got {shown(value)}"
            raise UnusableTableSchemaError(where, message)
    if kind not in (*_DATES, "integer", "number") and {"minimum", "maximum"} & set(constraints):
        raise UnusableTableSchemaError(where, f"field {entry['name']}: a {kind} has no minimum or maximum")
    return constraints


def _constraint_rules(
    constraints: Mapping[str, Any], enum: tuple[str, ...], measure: Callable[[str], Any]
) -> Iterable[Rule]:
    if enum:
        yield _failing(frozenset(enum).__contains__), f"one of {listed(enum)}"
    if (pattern := constraints.get("pattern")) is not None:
        # "pattern: … the regular expression must match the whole value", as XML Schema has it.
        yield _failing(re.compile(pattern).fullmatch), f"the form {pattern}"
    if (minimum := constraints.get("minimum")) is not None:
        yield _outside(measure, minimum, lambda value: value >= minimum, min), f"at least {minimum}"
    if (maximum := constraints.get("maximum")) is not None:
        yield _outside(measure, maximum, lambda value: value <= maximum, max), f"at most {maximum}"
    if (shortest := constraints.get("minLength")) is not None:
        yield _outside(len, shortest, lambda value: value >= shortest, min), f"at least {shortest} letters"
    if (longest := constraints.get("maxLength")) is not None:
        yield _outside(len, longest, lambda value: value <= longest, max), f"at most {longest} letters"


def _failing(test: Callable[[str], object]) -> Callable[[Collection[str]], Iterable[str]]:
    return lambda values: filterfalse(test, values)


def _outside(
    measure: Callable[[str], Any],
    limit: Any,
    is_right: Callable[[Any], bool],
    worst_of: Callable[..., Any],
) -> Callable[[Collection[str]], Iterable[str]]:
    """Values whose measure is on the wrong side of a limit: none is, if the worst of them is not."""

    def pick(values: Collection[str]) -> Iterable[str]:
        if is_right(worst_of(map(measure, values), default=limit)):
            return ()
        return [value for value in values if not is_right(measure(value))]

    return pick


def _unparsable(parse: Callable[[str], object]) -> Callable[[Collection[str]], Iterable[str]]:
    """Values of the right form that are none all the same, such as dates that the calendar does not have."""

    def is_parsable(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    def pick(values: Collection[str]) -> Iterable[str]:
        try:
            deque(map(parse, values), maxlen=0)
        except ValueError:
            return [value for value in values if not is_parsable(value)]
        return ()

    return pick


_TYPE_RULES: dict[str, tuple[Rule, ...]] = {
    "string": (),
    "integer": ((_failing(_INTEGER.fullmatch), "a whole number"),),
    "number": ((_failing(_NUMBER.fullmatch), "a number"),),
    "boolean": ((_failing(_BOOLEAN.fullmatch), "true or false"),),
    "date": (
        (_failing(_DATE.fullmatch), "a date such as 2024-01-31"),
        (_unparsable(date.fromisoformat), "a date of the calendar"),
    ),
    "datetime": (
        (_failing(_DATETIME.fullmatch), "a time such as 2024-01-31T12:00:00Z"),
        (_unparsable(datetime.fromisoformat), "a time of the calendar"),
    ),
}
