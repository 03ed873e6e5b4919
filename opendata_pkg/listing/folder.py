"""A folder as a source: its files as they stand, with the digest of each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.digests.file_digests import digest_file
from opendata_pkg.model import InputError, NotFoundError, ObjectKey, S3Object, Sha256, SourceError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.rows import objects_to_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED = 10
"""How many names a message lists before it only counts."""


class FolderNameError(InputError):
    """A file's name is not UTF-8, which keys are."""


class EmptyFolderError(NotFoundError):
    """A folder holds no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderListing:
    """The files of a folder as rows in the columns of a snapshot, unsorted, and what was left out."""

    table: pa.Table
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    files: list[tuple[str, Path]] = field(default_factory=list)
    linked_folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


def list_folder(folder: Path, *, jobs: int, reporter: Reporter = SILENT) -> FolderListing:
    """Hash every file below `folder`, `jobs` at a time; keys are the paths relative to it, with `/`.

    Everything counts: hidden files and `.git` too. Links to files are followed, links to folders are not (they may lead
    in circles, or out); those, dangling links, sockets and devices are named in the notes.

    Raises:
        FolderNameError: names that are not UTF-8.
        EmptyFolderError: there is no file.
        NotFoundError: there is no such folder.
        SourceError: a file cannot be read, or changed while it was.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}: check its name")
    found = _walk(folder)
    if found.undecodable:
        raise FolderNameError(
            f"expected names in UTF-8, which keys are, but {folder} has {_some(found.undecodable)}: rename them"
        )
    if not found.files:
        raise EmptyFolderError(f"{folder} holds no files: check its name")
    objects = []
    reporter.start(f"hashing {folder}", total=len(found.files))
    for _, row in map_unordered(lambda file: _hash(*file), found.files, jobs=jobs):
        objects.append(row)
        reporter.advance()
    reporter.finish()
    notes = []
    if found.linked_folders:
        notes.append(f"links to folders were not followed: {_some(found.linked_folders)}")
    if found.others:
        notes.append(f"neither files nor folders, and left out: {_some(found.others)}")
    return FolderListing(table=objects_to_table(objects), notes=tuple(notes))


def _walk(folder: Path) -> _Found:
    found = _Found()
    pending = [("", folder)]
    while pending:
        prefix, path = pending.pop()
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise SourceError(f"cannot read folder {path} ({error.strerror}): check its permissions") from error
        for entry in entries:
            key = prefix + entry.name
            if not _is_utf8(entry.name):
                # As bytes are shown in Python: the one spelling that says which they are.
                found.undecodable.append(repr(os.fsencode(key)))
            elif entry.is_dir(follow_symlinks=False):
                pending.append((f"{key}/", Path(entry.path)))
            elif _is(entry.is_file):
                found.files.append((key, Path(entry.path)))
            elif _is(entry.is_dir):
                found.linked_folders.append(key)
            else:
                found.others.append(key)
    return found


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:
        # A link that leads to itself is no file and no folder.
        return False


def _is_utf8(name: str) -> bool:
    try:
        os.fsencode(name).decode()
    except UnicodeDecodeError:
        return False
    return True


def _hash(key: str, path: Path) -> S3Object:
    try:
        found = digest_file(path)
    except OSError as error:
        raise SourceError(f"cannot read {path} ({error.strerror}): check its permissions") from error
    return S3Object(
        key=ObjectKey(key),
        size_bytes=found.size_bytes,
        sha256=Sha256(found.digests["sha256"]),
        last_modified=_EPOCH + timedelta(microseconds=found.mtime_ns // 1000),
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more
