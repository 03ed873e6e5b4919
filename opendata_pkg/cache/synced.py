"""What `opendata sync` knows of a folder that it fills: `.opendata.json`, and the stamps that save hashing again.

A file's size, times and inode are its stamp. Whoever changes its bytes changes the stamp, since nobody can set a ctime:
a file whose stamp still fits is what it was when its bytes were checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
class Known:
    """One file: its digest, whether sync brought it (or found it there), and how the file system had it then.

    Times are in nanoseconds since 1970.
    """

    digest: str
    brought: bool
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, digest: str, found: os.stat_result, *, brought: bool) -> Known:
        """What is known of a file in this state, whose bytes were just checked."""
        return cls(digest, brought, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def to_row(self) -> tuple[str | bool | int, ...]:
        """Its values in the order of the fields."""
        return self.digest, self.brought, self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode

    def fits(self, found: os.stat_result) -> bool:
        """Whether the file is as it was."""
        stamp = (self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode)
        return stamp == (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the files of a folder, by their paths in it.

    `bringing` are the digests of files that were being brought when the record was written: if one of them is there, it
    was brought by a sync that was then killed.
    """

    known: Mapping[str, Known] = field(default_factory=dict)
    bringing: Mapping[str, str] = field(default_factory=dict)


def read_record(folder: Path) -> Record:
    """The record of a folder; an empty one if sync never filled it.

    Raises:
        BrokenRecordError: the record is no record.
    """
    path = folder / RECORD
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Record()
    except (ValueError, RecursionError) as error:
        raise BrokenRecordError(path, error) from error
    try:
        if document["format"] != _FORMAT:
            raise BrokenRecordError(path, f"format {document['format']}")
        known = {place: _known(row) for place, row in document["files"].items()}
        bringing = document["bringing"]
        if any(type(digest) is not str for digest in bringing.values()):
            raise BrokenRecordError(path, "a digest that is no text")
        return Record(known, bringing)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRecordError(path, error) from error


def _known(row: Any) -> Known:
    digest, brought, *stamp = row
    if type(digest) is not str or type(brought) is not bool or any(type(value) is not int for value in stamp):
        raise ValueError(f"a row {row}")
    return Known(digest, brought, *stamp)


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a folder, one file a line, atomically."""
    files = sorted(record.known.items())
    rows = ",\n".join(f"{json.dumps(place)}: {json.dumps(known.to_row())}" for place, known in files)
    bringing = json.dumps(record.bringing)
    write_text(folder / RECORD, f'{{"format": {_FORMAT}, "bringing": {bringing}, "files": {{\n{rows}\n}}}}\n')
