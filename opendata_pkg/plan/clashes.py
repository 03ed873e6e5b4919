"""Names that an object and a folder share: a tree cannot hold both, so one of them is renamed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import are_equal, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Few enough that memory is used again and again.
_BATCH_ROWS = 16_384

BEHIND_SLASH = chr(ord("/") + 1)
"""`name` and this sorts behind all keys that begin with `name/`, before all others behind `name` and what is less."""

Keys: TypeAlias = pa.Array | pa.ChunkedArray
"""Keys in their order."""


def find_clashes(keys: Keys, earlier_keys: Sequence[Keys]) -> tuple[frozenset[str], frozenset[str]]:
    """Names that an object and a folder share: (those where the object is renamed, those where the folder is).

    A tree cannot hold both `a` and `a/b`. Whichever name was released first keeps it for ever, even where the other has
    gone since; if both came in one release, the folder keeps it, so that one path changes and not many.
    """
    # Most updates change objects, not their names.
    releases = [*map(_in_chunks, earlier_keys), _in_chunks(keys)]
    if len(releases) > 1 and are_equal(releases[-1], releases[-2]):
        releases.pop()
    if len(releases) == 1 and not may_clash(keys):
        return frozenset(), frozenset()
    folders = [_folders(release) for release in releases]
    # Only names that the present release uses can matter to it.
    candidates = {name for release in releases for name in _common(release, folders[-1])}
    candidates.update(name for known in folders for name in _common(keys, known))
    first_as_file: dict[str, int] = {}
    for index, release in enumerate(releases):
        for name in _common(release, candidates):
            first_as_file.setdefault(name, index)
    files: set[str] = set()
    renamed_folders: set[str] = set()
    for name, as_file in first_as_file.items():
        as_folder = next((index for index, known in enumerate(folders) if name in known), None)
        if as_folder is not None:
            (files if as_folder <= as_file else renamed_folders).add(name)
    return frozenset(files), frozenset(renamed_folders)


def may_clash(keys: Keys) -> bool:
    """Whether among keys in order there may be `a` and `a/b`.

    Between those two are only keys that begin with `a` and what sorts before a slash: so the one behind `a` tells.
    """
    last = None
    for piece in _pieces(keys):
        if last is not None and piece[0].as_py() < last + BEHIND_SLASH:
            return True
        if pc.any(pc.less(piece.slice(1), joined(piece.slice(0, len(piece) - 1), BEHIND_SLASH))).as_py():
            return True
        last = piece[-1].as_py()
    return False


def _in_chunks(keys: Keys) -> pa.ChunkedArray:
    return pa.chunked_array([keys]) if isinstance(keys, pa.Array) else keys


def _pieces(keys: Keys) -> Iterator[pa.Array]:
    """Keys in pieces, whose memory is used again and again: many times quicker than all at once."""
    chunks = _in_chunks(keys).chunks
    return (chunk.slice(start, _BATCH_ROWS) for chunk in chunks for start in range(0, len(chunk), _BATCH_ROWS))


def _common(keys: Keys, names: set[str]) -> list[str]:
    found: list[str] = keys.filter(pc.is_in(keys, value_set=pa.array(sorted(names), pa.string()))).to_pylist()
    return found


def _folders(keys: Keys) -> set[str]:
    """Every folder, without its last slash, that one of the keys is in."""
    nested = (piece.filter(pc.match_substring(piece, "/")) for piece in _pieces(keys))
    unique = pa.chunked_array([pc.unique(parents_of(piece)) for piece in nested], pa.string()).unique()
    found: set[str] = set()
    for folder in unique.to_pylist():
        name = folder
        while name not in found:
            found.add(name)
            if "/" not in name:
                break
            name = name.rsplit("/", 1)[0]
    return found


def parents_of(keys: pa.Array) -> pa.Array:
    """The folder, without its last slash, that each key is in; empty for those in none."""
    parts = pc.split_pattern(keys, "/", max_splits=1, reverse=True)
    # A key without a slash is one part, and that is its name.
    return pc.if_else(pc.equal(pc.list_value_length(parts), 1), "", pc.list_element(parts, 0))
