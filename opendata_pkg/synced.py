"""What `opendata sync` knows of a folder that it fills: `.opendata.json`, and the stamps that save hashing again.

A stamp is a file's size, times and inode as they were when its bytes were last checked. Whoever changes the bytes
changes the stamp, since nobody can set a ctime; so a file whose stamp still fits is what it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.files import write_text
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

RECORD = ".opendata.json"
_FORMAT = 1


class BrokenRecordError(InputError):
    """The record of a synced folder was altered or cut short."""

    def __init__(self, path: Path, fault: object) -> None:
        super().__init__(
            f"{path} is not what opendata sync writes there ({fault}): delete it; the next sync then hashes every file "
            "once, and removes none"
        )


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as the file system has it; times in nanoseconds since 1970."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """The stamp of a file that was just looked at."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one file: its digest, whether sync brought it (or found it there), and its stamp then.

    Without a stamp it was about to be brought when sync was stopped.
    """

    digest: str
    brought: bool
    stamp: Stamp | None


def read_record(folder: Path) -> dict[str, Known]:
    """What is known of the files of a folder, by their paths in it; nothing if sync never filled it.

    Raises:
        BrokenRecordError: the record is no record.
    """
    path = folder / RECORD
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise BrokenRecordError(path, error) from error
    try:
        if document["format"] != _FORMAT:
            raise BrokenRecordError(path, f"format {document['format']}")
        return {place: _known(row) for place, row in document["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRecordError(path, error) from error


def _known(row: Any) -> Known:
    digest, brought, *stamp = row
    if type(digest) is not str or type(brought) is not bool or any(type(value) is not int for value in stamp):
        raise ValueError(f"a row {row}")
    return Known(digest, brought, Stamp(*stamp) if stamp else None)


def write_record(folder: Path, known: Mapping[str, Known]) -> None:
    """Write the record of a folder, one file a line, atomically."""
    rows = ",\n".join(f"{json.dumps(place)}: {json.dumps(_row(entry))}" for place, entry in sorted(known.items()))
    write_text(folder / RECORD, f'{{"format": {_FORMAT}, "files": {{\n{rows}\n}}}}\n')


def _row(entry: Known) -> list[Any]:
    row: list[Any] = [entry.digest, entry.brought]
    stamp = entry.stamp
    return row if stamp is None else [*row, stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns, stamp.inode]
