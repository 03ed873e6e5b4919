"""What files the datasets of a release hold: their inventories, of which only what is needed is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from opendata_pkg.arrays import in_arrow
from opendata_pkg.parallel import count_cores, map_unordered
from opendata_pkg.places import BrokenStoreError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.selection import FILES
from opendata_pkg.text import unescape_line
from opendata_pkg.vocabulary import FIRST_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opendata_pkg.published import PublishedStore
    from opendata_pkg.state import DatasetEntry, State

_JOBS = 8
# From here on a transfer is announced: on a slow line it takes half a minute.
_LARGE_BYTES = 20_000_000
_TYPES = {"bytes": pa.int64(), "last_modified": pa.timestamp("us", tz="UTC")}
_TEXTS = ("path", "key", "sha256", "md5", "etag", "version_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """A part of a dataset's inventory that may hold what is asked for; `prefix` is that of the dataset's branch."""

    entry: DatasetEntry
    base_url: str
    name: str
    sha256: str
    size_bytes: int


def read_files(
    store: PublishedStore,
    state: State,
    branch: str,
    *,
    path: str | None = None,
    choose: Callable[[pa.Table], pa.Table] | None = None,
    reporter: Reporter = SILENT,
) -> pa.Table:
    """The files at or below a branch of a release, in `FILES`; with `path` (relative to it) at least those there.

    `choose` keeps some rows of a part of it, so that what nobody asks for is never held together.

    Raises:
        BrokenStoreError: an inventory is not as it was released.
        SourceError: the server refused or did not answer.
    """
    # Rules that cannot be understood are told before anything is read.
    tables = [FILES.empty_table() if choose is None else choose(FILES.empty_table())]
    whole = "/".join(part for part in (branch, (path or "").rstrip("/")) if part)
    entries = [
        entry
        for entry in state.datasets.values()
        if is_below(entry.branch, branch) and (is_below(entry.branch, whole) or is_below(whole, entry.branch))
        if entry.written.totals.files
    ]
    shards: list[_Shard] = []
    for _, found in map_unordered(lambda entry: _shards_of(store, entry, whole), entries, jobs=_JOBS):
        shards += found
    afar = sum(shard.size_bytes for shard in shards if not store.place.is_near(shard.sha256))
    if afar > _LARGE_BYTES:
        reporter.message(
            f"transferring {afar / 1e6:.0f} MB of inventories from {store.where}, once: they are kept in the cache. "
            "Naming a branch, or a folder after a colon, takes less"
        )
    reporter.start("reading inventories", sum(shard.size_bytes for shard in shards), "bytes")

    def read(shard: _Shard) -> pa.Table:
        table = _read_shard(store, shard)
        return table if choose is None else choose(table)

    # What is here waits for nothing: more threads than cores would only be in each other's way.
    jobs = _JOBS if afar else count_cores()
    for shard, table in map_unordered(read, shards, jobs=jobs):
        tables.append(table)
        reporter.advance(shard.size_bytes)
    reporter.finish()
    files = pa.concat_tables(tables).unify_dictionaries()
    return files.take(pc.sort_indices(files["path"])) if files.num_rows else files


def is_below(path: str, folder: str) -> bool:
    """Whether a branch's path is a folder's, or below it; everything is below the root, the empty path."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def _shards_of(store: PublishedStore, entry: DatasetEntry, whole: str) -> list[_Shard]:
    """The shards of a dataset that may hold `whole` (a full path) or what is below it."""
    document = store.read_descriptor(entry)
    resources = [resource for resource in document["resources"] if FIRST_PATH in resource]
    if entry.branch and is_below(entry.branch, whole):
        wanted = ""
    else:
        wanted = whole.removeprefix(f"{entry.branch}/" if entry.branch else "")
    chosen = _covering([resource[FIRST_PATH] for resource in resources], wanted)
    return [
        _Shard(
            entry=entry,
            base_url=document["od:storage"]["baseUrl"],
            name=resource["path"],
            sha256=resource["hash"].removeprefix("sha256:"),
            size_bytes=resource["bytes"],
        )
        for resource in resources[chosen]
    ]


def _covering(firsts: Sequence[str], wanted: str) -> slice:
    """Which of the runs that begin at these paths (in byte order) can hold `wanted` or paths below it."""
    if not wanted:
        return slice(0, len(firsts))
    # `wanted` itself, and all between `wanted/` and `wanted0`, which is the next after the slash.
    low, high = wanted.encode(), f"{wanted}0".encode()
    encoded = [first.encode() for first in firsts]
    start = max((index for index, first in enumerate(encoded) if first <= low), default=0)
    stop = next((index for index, first in enumerate(encoded) if first >= high), len(firsts))
    return slice(start, stop)


def _read_shard(store: PublishedStore, shard: _Shard) -> pa.Table:
    data = store.read_artefact(shard.entry, shard.name, shard.sha256)
    try:
        table = csv.read_csv(
            pa.BufferReader(in_arrow(data)),
            # Shards are many, and read side by side.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=_TYPES | dict.fromkeys(_TEXTS, pa.string()),
                include_columns=[*_TEXTS, *_TYPES],
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise BrokenStoreError(
            f"{store.where}: {shard.entry.artefacts}{shard.name} is no inventory: {error}"
        ) from error
    keys = table["key"]
    # Of all bytes together, which takes a tenth of the time.
    if b"%" in data:
        keys = pa.array([unescape_line(key) for key in keys.to_pylist()], pa.string())
    prefix = f"{shard.entry.branch}/" if shard.entry.branch else ""
    paths = table["path"]
    columns = {name: table[name] for name in (*_TEXTS, *_TYPES)} | {
        "path": pc.binary_join_element_wise(prefix, paths, "") if prefix else paths,
        "branch": _constant(shard.entry.branch, len(table)),
        "key": keys,
        "size": table["bytes"],
        "base_url": _constant(shard.base_url, len(table)),
    }
    return pa.table([columns[name] for name in FILES.names], FILES)


def _constant(value: str, length: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), length), pa.array([value], pa.string()))
