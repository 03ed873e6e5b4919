"""JSON documents: one way to write them, one way to check them, and where the shipped schemas and packages are."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendata_pkg.model import InputError
from opendata_pkg.vocabulary import DATA_PACKAGE_URL

if TYPE_CHECKING:
    import jsonschema_rs
    from jsonschema.protocols import Validator
    from referencing import Registry

FORMAT = 1
"""The version of every format that this package writes, and the highest that it reads."""


class InvalidDocumentError(InputError):
    """A document does not follow its schema. `where` is the document, `json_path` the fault's place in it."""

    def __init__(self, where: str, json_path: str, fault: str) -> None:
        self.where, self.json_path, self.fault = where, json_path, fault
        super().__init__(f"{where}: at {json_path}: {fault}")


class NewerFormatError(InputError):
    """A document was written by a newer opendata than this one."""

    def __init__(self, where: str, found: int) -> None:
        super().__init__(
            f"{where} has format version {found}, but this opendata reads up to {FORMAT}. "
            "Upgrade it: pip install --upgrade opendata-pkg"
        )


def shipped(folder: str) -> Path:
    """The folder `schemas` or `packages`: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def dump_json(document: object) -> str:
    """JSON as people and diffs like it: two spaces, keys in the order given, UTF-8, a final newline."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def dump_json_line(document: object) -> str:
    """JSON on one line: a piece of a stream."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


@cache
def internal_validator(schema_name: str) -> Validator:
    """A validator of `schemas/internal/<schema_name>.json`; formats such as `uri` are checked, nothing is fetched."""
    # Imported where used: jsonschema takes a tenth of a second that few have to wait for.
    from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415
    from referencing import Registry, Resource  # noqa: PLC0415

    folder = shipped("schemas") / "internal"
    resources = [Resource.from_contents(json.loads(path.read_bytes())) for path in sorted(folder.glob("*.json"))]
    registry: Registry[Any] = resources @ Registry()
    schema = json.loads((folder / f"{schema_name}.json").read_bytes())
    return Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())


# The patterns of a lock name surrogates, of which jsonschema-rs knows nothing. Locks are read by a check of their own
# (`lock.check`).
_FOR_JSONSCHEMA = frozenset({"lock"})


@cache
def _quick_validator(schema_name: str) -> jsonschema_rs.Validator:
    """Whether a document follows a schema: the answer of jsonschema-rs comes at once, as a yes or no."""
    import jsonschema_rs  # noqa: PLC0415 - `--help` has no documents to check
    from rfc3339_validator import validate_rfc3339  # noqa: PLC0415

    schema = json.loads((shipped("schemas") / "internal" / f"{schema_name}.json").read_bytes())
    # Leap seconds, which RFC 3339 has and Python's times have not, are taken by neither of the two.
    times = {"date-time": lambda text: validate_rfc3339(text.upper())}
    return jsonschema_rs.validator_for(schema, formats=times, validate_formats=True)


@cache
def _profiles() -> Registry[Any]:
    from referencing import Registry, Resource  # noqa: PLC0415

    schemas = shipped("schemas")
    ours = [json.loads(path.read_bytes()) for path in sorted(schemas.glob("profiles/*/*.json"))]
    by_url = {profile["$id"]: profile for profile in ours}
    # The official profile has no id in itself: it is known by its URL.
    by_url[DATA_PACKAGE_URL] = json.loads((schemas / "vendor" / "datapackage-2.0.json").read_bytes())
    registry: Registry[Any] = Registry()
    return registry.with_resources((url, Resource.from_contents(profile)) for url, profile in by_url.items())


def profile_urls() -> tuple[str, ...]:
    """The profiles that a descriptor may name: ours, all versions, and the official one; sorted."""
    return tuple(sorted(url for url in _profiles() if not url.endswith("/base.json")))


@cache
def profile_validator(url: str) -> Validator:
    """A validator of one of `profile_urls()` (JSON Schema draft-07); all references are resolved offline.

    Raises:
        KeyError: there is no such profile.
    """
    from jsonschema import Draft7Validator, FormatChecker  # noqa: PLC0415 - as above

    registry = _profiles()
    if url not in registry:
        raise KeyError(url)
    return Draft7Validator(registry.contents(url), registry=registry, format_checker=FormatChecker())


def validate(document: Any, schema_name: str, *, where: str) -> None:
    """Check a document against `schemas/internal/<schema_name>.json`.

    Raises:
        NewerFormatError: its `format` is above what this package reads.
        InvalidDocumentError: it does not follow the schema; names the fault that explains the most.
    """
    if isinstance(document, dict) and isinstance(found := document.get("format"), int) and found > FORMAT:
        raise NewerFormatError(where, found)
    if schema_name not in _FOR_JSONSCHEMA and _quick_validator(schema_name).is_valid(document):
        return
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - as above

    fault = best_match(internal_validator(schema_name).iter_errors(document))
    if fault is not None:
        raise InvalidDocumentError(where, fault.json_path, fault.message)


def parse_json(data: bytes, schema_name: str, *, where: str) -> Any:
    """A JSON document from its bytes, checked against its schema; `where` names it in errors.

    Raises:
        InvalidDocumentError: it is no JSON (cut short, edited), or does not follow its schema.
        NewerFormatError: this package is too old for it.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidDocumentError(where, "$", f"expected a JSON document: {error}") from error
    validate(document, schema_name, where=where)
    return document


def read_json(path: Path, schema_name: str) -> Any:
    """Read and check a JSON document; raises as `parse_json` does."""
    return parse_json(path.read_bytes(), schema_name, where=str(path))
