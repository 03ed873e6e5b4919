"""All faults of a catalogue file, each with its line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.catalogue.reader import contradictions
from opendata_pkg.catalogue.schema_faults import schema_faults
from opendata_pkg.documents import FORMAT, NewerFormatError, internal_validator
from opendata_pkg.faults import Fault, json_path
from opendata_pkg.strict_yaml import BrokenYamlError, load_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opendata_pkg.strict_yaml import YamlPath

_INHERITED = frozenset({"licenses", "contributors", "sources"})


def check_catalogue(data: bytes, where: str) -> list[Fault]:
    """The faults of a catalogue's bytes: of its YAML, else against its schema, else what contradicts itself in it."""
    try:
        document = load_yaml(data, where)
    except BrokenYamlError as error:
        return [Fault(file=where, line=None if error.place is None else error.place[0], message=error.fault)]
    value = document.value
    if isinstance(value, dict) and isinstance(found := value.get("format"), int) and found > FORMAT:
        return [Fault(file=where, path="$.format", message=str(NewerFormatError(where, found)))]
    faults = [
        Fault(
            file=where,
            line=nearest_line(fault.place, document.lines),
            path=json_path(fault.place),
            message=fault.message,
            suggestion=fault.suggestion,
            remedy=_remedy(fault.place, fault.message),
        )
        for fault in schema_faults(value, internal_validator("catalogue"))
    ]
    if faults:
        # What a branch is cannot be told before its fields are fields.
        return faults
    return [
        Fault(file=where, line=contradiction.line, message=contradiction.fault)
        for contradiction in contradictions(document, where)
    ]


def nearest_line(place: YamlPath, lines: Mapping[YamlPath, int]) -> int:
    """The line of a part of a document; of what holds it, if it is none itself."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _remedy(place: YamlPath, message: str) -> str | None:
    if place and place[-1] in _INHERITED and message.startswith("expected a list"):
        return "a list takes the place of the inherited one, [] clears it"
    return None
