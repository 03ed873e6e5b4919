"""What is known of a snapshot as a whole, without its rows: the JSON file beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import read_json
from opendata_pkg.model import InputError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHeader:
    """What is known of a snapshot as a whole; the JSON file beside the rows.

    `base_url` is where readers fetch: the URL of an object is `base_url` + its percent-encoded key; None for a folder
    without a public address. `prefixes` are the parts of the source that were listed, empty for all of it.
    """

    source: str
    method: str
    base_url: str | None
    bucket: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    prefixes: tuple[str, ...] = ()
    as_of: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    older_versions: int = 0
    delete_markers: int = 0
    unaddressable: int = 0
    etags_are_md5: bool = False
    etags_checked: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The header's own fields as JSON values; `Snapshot.write` adds id, counts and format."""
        document: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, datetime):
                document[name] = format_time(value)
            else:
                document[name] = list(value) if isinstance(value, tuple) else value
        return document

    @property
    def origin(self) -> str:
        """What was listed, and when, in words."""
        return self.source if self.finished is None else f"{self.source} as listed at {format_time(self.finished)}"

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> SnapshotHeader:
        """The inverse of `to_dict`; other keys are left alone."""
        values = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        for name in ("as_of", "started", "finished"):
            values[name] = parse_time(values[name]) if values.get(name) else None
        for name in ("prefixes", "notes"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


def format_time(time: datetime) -> str:
    """ISO 8601 in UTC with a `Z`, microseconds only where there are some."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """A time with a zone, in UTC; ValueError for one without, since nobody could say when that was."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"expected a time in ISO 8601, got {text!r} ({error})") from error
    if time.tzinfo is None:
        raise ValueError(f"expected a time with its zone, got {text!r}")
    return time.astimezone(UTC)


def read_header(path: Path) -> dict[str, Any]:
    """The header of the snapshot at `path`, the rows unread.

    Raises:
        NotFoundError: there is no such file, or its header is missing.
    """
    header_file = header_path(path)
    for file in (path, header_file):
        if not file.is_file():
            raise NotFoundError(
                f"no snapshot at {path}: {file} is missing; make it with: opendata scan SOURCE --out {path}"
            )
    document: dict[str, Any] = read_json(header_file, "snapshot-header")
    return document


def header_path(path: Path) -> Path:
    """Where the header of the snapshot at `path` is."""
    if path.suffix != ".parquet":
        raise InputError(f"expected a snapshot's name to end in .parquet, got {path}")
    return path.with_suffix(".json")
