"""What a clone with all its subdatasets holds, compared with what was uploaded."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.model import ObjectKey
from opendata_pkg.text import unescape_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a clone's files compare with the objects that should be there. All sorted.

    `same`, `different` and `missing` are keys of those objects; `strangers` are keys and paths of the clone beyond
    them. `renamed` has, by key, the paths of objects whose key cannot be their path.
    """

    same: tuple[ObjectKey, ...]
    different: tuple[ObjectKey, ...]
    missing: tuple[ObjectKey, ...]
    strangers: tuple[str, ...]
    renamed: Mapping[ObjectKey, str]


def compare_clone(clone: Path, expected: Mapping[ObjectKey, bytes]) -> Comparison:
    """Compare all annexed files of a clone whose subdatasets are all installed with `expected`, byte by byte."""
    listed: dict[ObjectKey, Path] = {}
    annexed: set[Path] = set()
    for dataset in _datasets(clone):
        listed |= dict(_inventory(dataset))
        annexed |= set(_annexed_files(dataset))
    contents = {key: path.read_bytes() for key, path in listed.items() if path.is_file()}
    unexpected = {str(key) for key in listed if key not in expected}
    unlisted = {str(path.relative_to(clone)) for path in annexed.difference(listed.values())}
    renamed = {key: path.relative_to(clone).as_posix() for key, path in sorted(listed.items())}
    return Comparison(
        same=tuple(sorted(key for key, body in expected.items() if contents.get(key) == body)),
        different=tuple(sorted(key for key, body in expected.items() if key in contents and contents[key] != body)),
        missing=tuple(sorted(key for key in expected if key not in contents)),
        strangers=tuple(sorted(unexpected | unlisted)),
        renamed={key: path for key, path in renamed.items() if path != key},
    )


def _datasets(clone: Path) -> Iterator[Path]:
    """The clone and all datasets installed in it."""
    for folder, folders, files in os.walk(clone):
        if ".git" in (*folders, *files):
            yield Path(folder)
        folders[:] = [name for name in folders if name != ".git"]


def _inventory(dataset: Path) -> Iterator[tuple[ObjectKey, Path]]:
    """Key and path of every file that a dataset lists."""
    for shard in sorted(dataset.glob("_opendata/files/*.csv")):
        with shard.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                yield ObjectKey(unescape_line(row["key"])), dataset / row["path"]


def _annexed_files(dataset: Path) -> Iterator[Path]:
    """Every symlink of a dataset into its annex, whether the content is here or not; not those of subdatasets."""
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        if here != dataset and (here / ".git").exists():
            folders.clear()
            continue
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*files, *folders):
            path = here / name
            if path.is_symlink() and ".git/annex/objects/" in str(path.readlink()):
                yield path
