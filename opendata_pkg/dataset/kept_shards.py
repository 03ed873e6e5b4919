"""The shards of an inventory, made of those of the last release and of what is new or gone since."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from opendata_pkg.dataset.descriptor import ShardInfo
from opendata_pkg.dataset.inventory import FIRST_SHARD, HEAD, Shard, find_row, has_line_a_row, path_at
from opendata_pkg.model import InputError
from opendata_pkg.vocabulary import FIRST_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Line = tuple[bytes, bytes]
"""The path of a row, and its line in an inventory."""


class DamagedShardsError(InputError):
    """The shards of the last release are not what was released: the new ones must be made of all rows."""


class _Released(NamedTuple):
    """A released shard: it holds the paths from `start` on, before the start of the next."""

    start: bytes
    info: ShardInfo


class KeptShards:
    """The shards in the folder of a release of a dataset.

    The release binds them by the digest of its descriptor, which has theirs. None that is gone or altered is used, so
    that the next release is whole again.
    """

    def __init__(self, artefacts: Path, descriptor: str | None) -> None:
        """Take the folder, and the SHA-256 of the `datapackage.json` in it.

        Raises:
            DamagedShardsError: the descriptor is not the one released.
        """
        self._folder = artefacts
        self._shards = _released_shards(artefacts / "datapackage.json", descriptor)
        self._starts = [shard.start for shard in self._shards]

    def edited(self, gone: Sequence[bytes], new: Iterable[Line], begins: Iterable[bytes]) -> Iterator[Shard]:
        """The shards after a change, in their order. Memory: two shards, and the paths that are gone.

        Args:
            gone: the paths of rows that are no more as they were, in order.
            new: rows that are new or other now, in the order of their paths.
            begins: those of their paths at which a shard begins.

        Raises:
            DamagedShardsError: a shard is not as it was released, or not what `gone` and `new` are a change of.
        """
        # A shard begins where its path says, and for that one it has to be there: all others begin where they did.
        starts = sorted({b"", *self._starts} - set(gone) | set(begins))
        upcoming = _Upcoming(new)
        for start, stop in zip(starts, [*starts[1:], None], strict=True):
            lost = gone[bisect_left(gone, start) : len(gone) if stop is None else bisect_left(gone, stop)]
            added = dict(upcoming.before(stop))
            if not lost and not added and (kept := self._same(start, stop)) is not None:
                data = self._read(kept)
                yield Shard(info=kept.info, data=data, released=self._folder / "files" / kept.info.name)
            elif rows := _edited(*self._rows(start, stop), frozenset(lost), added):
                yield Shard.of(start.decode(), path_at(bytes(rows[0]), 0).decode(), rows)

    def _same(self, start: bytes, stop: bytes | None) -> _Released | None:
        """The released shard of exactly those paths."""
        place = bisect_left(self._starts, start)
        borders = [*self._starts[place : place + 2], None]
        return self._shards[place] if borders[:2] == [start, stop] else None

    def _rows(self, start: bytes, stop: bytes | None) -> tuple[bytes, int, int]:
        """A shard with the released rows of those paths, where the first of them begins, and where the last ends."""
        first = max(0, bisect_right(self._starts, start) - 1)
        last = len(self._starts) if stop is None else bisect_left(self._starts, stop)
        pieces = [self._read(shard) for shard in self._shards[first:last]]
        if not all(map(has_line_a_row, pieces)):
            raise DamagedShardsError("expected rows of one line each, got others: they cannot be taken apart")
        data = pieces[0] if len(pieces) == 1 else b"".join([HEAD, *(piece[len(HEAD) :] for piece in pieces)])
        begin = find_row(data, start, len(HEAD), len(data))
        return data, begin, len(data) if stop is None else find_row(data, stop, begin, len(data))

    def _read(self, shard: _Released) -> bytes:
        """The bytes of a shard, as they were released."""
        file = self._folder / "files" / shard.info.name
        try:
            data = file.read_bytes()
        except OSError as error:
            raise DamagedShardsError(f"expected {file}, but it cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != shard.info.sha256:
            raise DamagedShardsError(f"expected {file} with SHA-256 {shard.info.sha256}, but it is another file")
        return data


class _Upcoming:
    """Rows in order, of which those before a path are taken."""

    def __init__(self, rows: Iterable[Line]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    def before(self, stop: bytes | None) -> Iterator[Line]:
        while self._next is not None and (stop is None or self._next[0] < stop):
            yield self._next
            self._next = next(self._rows, None)


def _edited(
    data: bytes, start: int, stop: int, gone: frozenset[bytes], new: Mapping[bytes, bytes]
) -> list[bytes | memoryview]:
    """Rows of a shard, less those of paths that are gone, with those new: pieces of one or more rows, none empty."""
    edited: list[bytes | memoryview] = []
    whole = memoryview(data)
    for path in sorted(gone | new.keys()):
        place = find_row(data, path, start, stop)
        is_there = place < stop and path_at(data, place) == path
        if is_there != (path in gone):
            raise DamagedShardsError(f"expected {path!r} in the released inventory if it was there, but it is not so")
        edited += whole[start:place], new.get(path, b"")
        start = data.index(b"\n", place) + 1 if is_there else place
    return list(filter(None, (*edited, whole[start:stop])))


def _released_shards(file: Path, sha256: str | None) -> list[_Released]:
    """Every shard, as a released descriptor has them, in the order of their paths."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DamagedShardsError(f"expected {file}, but it cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedShardsError(f"expected {file} with SHA-256 {sha256}, but it is another file")
    shards = [
        _released(resource) for resource in json.loads(data)["resources"] if resource["path"].startswith("files/")
    ]
    return sorted(shards, key=lambda shard: shard.start)


def _released(resource: Mapping[str, Any]) -> _Released:
    info = ShardInfo(
        name=resource["path"].removeprefix("files/"),
        size_bytes=resource["bytes"],
        sha256=resource["hash"].removeprefix("sha256:"),
        first_path=resource[FIRST_PATH],
    )
    is_first = info.name == f"{FIRST_SHARD}.csv"
    return _Released(start=b"" if is_first else resource[FIRST_PATH].encode(), info=info)
