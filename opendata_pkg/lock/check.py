"""Whether a document is a lock: the same as schemas/internal/lock.json says, a hundred times as fast. Pure.

A lock of 10,000 files is read in a blink, so jsonschema is not asked first; it only names the fault. A test holds the
two together.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import FORMAT, internal_validator
from opendata_pkg.model import Grade

if TYPE_CHECKING:
    from collections.abc import Sequence

Place = tuple[str | int, ...]
"""Keys and list positions from the top of a document to one of its values."""

# The patterns of schemas/internal/lock.json and selection.json, as they stand there.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PART = r"(?!\.\.?(?:/|$))[^/\\\x00-\x1f\ud800-\udfff]+"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_URL = re.compile(r"https?://[^/?#\x00-\x20\x7f\ud800-\udfff][^\x00-\x20\x7f\ud800-\udfff]*")
_VERSION_ID = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")
_HEX64, _HEX40, _HEX32 = (re.compile(rf"[0-9a-f]{{{length}}}") for length in (64, 40, 32))
_BRANCH = re.compile(r"[^@:]+")
_VERSION = re.compile(r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HTTP = re.compile(r"https?://")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")

_GRADES = frozenset({Grade.FIXED.value, Grade.VERIFIABLE.value})
_TOP = frozenset({"format", "selections", "files"})
_SELECTION_NEEDS = frozenset({"branch", "version", "rules", "source", "snapshot", "digest", "licenses", "citation"})
_SELECTION_MAY = _SELECTION_NEEDS | {"folder", "commit", "reference"}
_REFERENCE_NEEDS = frozenset({"name", "title", "authors"})
_REFERENCE_TEXTS = frozenset({"name", "title", "publisher", "doi", "source"})
_REFERENCE_MAY = _REFERENCE_TEXTS | {"authors", "licenses", "date", "url"}
_FILE_NEEDS = frozenset({"selection", "path", "bytes", "urls", "grade"})
_FILE_MAY = _FILE_NEEDS | {"sha256", "md5", "version_id"}
# What the columns hold that locks are compared in.
_MOST_BYTES = (1 << 63) - 1
_RULES_MAY = frozenset({"path", "include", "exclude", "larger", "smaller"})


def is_lock(document: Any) -> bool:
    """Whether a JSON value follows the schema of locks."""
    return (
        type(document) is dict
        and document.keys() == _TOP
        and type(document["format"]) in {int, float}
        and document["format"] == FORMAT
        and type(document["selections"]) is dict
        and all(_NAME.fullmatch(name) and _is_selection(value) for name, value in document["selections"].items())
        and type(document["files"]) is list
        and all(map(is_file, document["files"]))
    )


def is_file(row: Any) -> bool:
    """Whether a JSON value is a row of a lock."""
    return (
        type(row) is dict
        and row.keys() <= _FILE_MAY
        and row.keys() >= _FILE_NEEDS
        and _is_text(row["selection"])
        and type(path := row["path"]) is str
        and _PATH.fullmatch(path) is not None
        and (row["bytes"] is None or (_is_count(row["bytes"]) and row["bytes"] <= _MOST_BYTES))
        and ("sha256" in row or "md5" in row)
        and ("sha256" not in row or _fits(row["sha256"], _HEX64))
        and ("md5" not in row or _fits(row["md5"], _HEX32))
        and type(row["urls"]) is list
        and len(row["urls"]) > 0
        and all(_fits(url, _URL) for url in row["urls"])
        and ("version_id" not in row or _fits(row["version_id"], _VERSION_ID))
        and type(row["grade"]) is str
        and row["grade"] in _GRADES
    )


def _is_selection(entry: Any) -> bool:
    return (
        type(entry) is dict
        and entry.keys() <= _SELECTION_MAY
        and entry.keys() >= _SELECTION_NEEDS
        and _fits(entry["branch"], _BRANCH)
        and (
            entry["version"] is None or (type(entry["version"]) is str and _VERSION.match(entry["version"]) is not None)
        )
        and _are_rules(entry["rules"])
        and _is_text(entry["source"])
        and _fits(entry["snapshot"], _HEX64)
        and ("commit" not in entry or _fits(entry["commit"], _HEX40))
        and ("folder" not in entry or _fits(entry["folder"], _NAME))
        and _begins(entry["digest"], _DIGEST)
        and type(entry["licenses"]) is list
        and all(map(_is_text, entry["licenses"]))
        and _is_text(entry["citation"])
        and ("reference" not in entry or _is_reference(entry["reference"]))
    )


def _is_reference(reference: Any) -> bool:
    return (
        type(reference) is dict
        and reference.keys() <= _REFERENCE_MAY
        and reference.keys() >= _REFERENCE_NEEDS
        and all(_is_text(reference[name]) for name in _REFERENCE_TEXTS & reference.keys())
        and _are_texts(reference["authors"], {"name", "family", "given"})
        and len(reference["authors"]) > 0
        and all("name" in author for author in reference["authors"])
        and ("licenses" not in reference or _are_texts(reference["licenses"], {"name", "title", "path"}))
        and ("date" not in reference or _fits(reference["date"], _DATE))
        and ("url" not in reference or _begins(reference["url"], _HTTP))
    )


def _are_texts(entries: Any, names: set[str]) -> bool:
    return type(entries) is list and all(
        type(entry) is dict and entry.keys() <= names and all(map(_is_text, entry.values())) for entry in entries
    )


def _are_rules(rules: Any) -> bool:
    return (
        type(rules) is dict
        and rules.keys() <= _RULES_MAY
        and ("path" not in rules or (_is_text(rules["path"]) and rules["path"][0] != "/"))
        and all(_are_globs(rules[name]) for name in ("include", "exclude") if name in rules)
        and ("larger" not in rules or _is_count(rules["larger"]))
        and ("smaller" not in rules or (_is_count(rules["smaller"]) and rules["smaller"] >= 1))
    )


def _are_globs(globs: Any) -> bool:
    return type(globs) is list and len(globs) > 0 and all(map(_is_text, globs)) and len(set(globs)) == len(globs)


def _is_text(value: Any) -> bool:
    return type(value) is str and value != ""


def _fits(value: Any, pattern: re.Pattern[str]) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


def _begins(value: Any, pattern: re.Pattern[str]) -> bool:
    # As a schema's pattern does: only what it says of the beginning, and Python's `$` also before a last line feed.
    return type(value) is str and pattern.match(value) is not None


def _is_count(value: Any) -> bool:
    # JSON knows no whole numbers apart: 3.0 is one to the schema.
    return (type(value) is int or (type(value) is float and value.is_integer())) and value >= 0


def schema_fault(document: Any) -> tuple[Place, str]:
    """Where a document that is no lock breaks the schema, and how, in the schema's words.

    Only the first faulty row is shown to the schema, since 10,000 take it seconds.
    """
    from opendata_pkg.catalogue.schema_faults import schema_faults  # noqa: PLC0415
    from opendata_pkg.faults import json_path  # noqa: PLC0415 - only a broken lock needs them

    shown, before = document, 0
    if isinstance(document, dict) and isinstance(rows := document.get("files"), list):
        before = next((index for index, row in enumerate(rows) if not is_file(row)), 0)
        shown = document | {"files": rows[before : before + 1]}
    fault = schema_faults(shown, internal_validator("lock"))[0]
    place = fault.place
    if place[:1] == ("files",) and len(place) > 1:
        place = ("files", before, *place[2:])
    return place, f"at {json_path(place)}: {fault.message}"


def line_of(text: str, place: Sequence[str | int]) -> int:
    """The line, from 1, on which the value at that place of a JSON text begins."""
    decode = json.JSONDecoder().raw_decode
    at = _next_mark(text, 0)
    for step in place:
        position = -1
        at = _next_mark(text, at + 1)
        while True:
            position += 1
            name: str | int = position
            if isinstance(step, str):
                name, at = decode(text, at)
                at = _next_mark(text, _next_mark(text, at) + 1)
            if name == step:
                break
            at = _next_mark(text, _next_mark(text, decode(text, at)[1]) + 1)
    return text.count("\n", 0, at) + 1


def _next_mark(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
