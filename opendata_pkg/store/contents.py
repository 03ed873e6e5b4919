"""What files the datasets of a release hold: their inventories, of which only what is needed is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from opendata_pkg.columns.arrays import hold_any, in_arrow
from opendata_pkg.parallel import count_cores, map_unordered
from opendata_pkg.plan.selection import FILES, match_names, match_sizes
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.store.places import BrokenStoreError
from opendata_pkg.text import unescape_line
from opendata_pkg.vocabulary import FIRST_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opendata_pkg.plan.selection import Rules
    from opendata_pkg.store.published import PublishedStore
    from opendata_pkg.store.state import DatasetEntry, State

_JOBS = 8
# From here on a transfer is announced: on a slow line it takes half a minute.
_LARGE_BYTES = 20_000_000
# Shards that are here are looked through together, so many bytes of them: what Arrow does once for each table takes as
# long as what it does for a thousand rows.
_TOGETHER_BYTES = 3_000_000
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
    rules: Rules,
    *,
    reporter: Reporter = SILENT,
) -> pa.Table:
    """The files at or below a branch of a release that rules mean, in `FILES`.

    Each part of an inventory is asked as it is read, so that what nobody asks for is never held together.

    Raises:
        BrokenStoreError: an inventory is not as it was released.
        SourceError: the server refused or did not answer.
        UsageError: a glob is not in gitignore's syntax.
    """
    prefix = f"{branch}/" if branch else ""
    # Rules that cannot be understood are told before anything is read.
    tables = [match_names(FILES.empty_table(), rules, prefix=prefix)]
    whole = "/".join(part for part in (branch, (rules.path or "").rstrip("/")) if part)
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

    def read(together: list[_Shard]) -> pa.Table:
        rows = pa.concat_tables([_read_shard(store, shard) for shard in together])
        return _files_of(rows, together[0], rules, prefix)

    # What is here waits for nothing: more threads than cores would only be in each other's way, and fewer be slower.
    cores = count_cores()
    jobs = _JOBS if afar else cores
    parts = _together(shards, 0 if afar else _TOGETHER_BYTES)
    for part, table in map_unordered(read, parts, jobs=jobs, at_once=min(jobs, cores)):
        tables.append(table)
        reporter.advance(sum(shard.size_bytes for shard in part))
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


def _together(shards: Sequence[_Shard], size_bytes: int) -> Iterator[list[_Shard]]:
    """Shards of one dataset that follow each other, up to so many bytes, or one that is larger."""
    together: list[_Shard] = []
    for shard in shards:
        held = sum(other.size_bytes for other in together)
        if together and (shard.entry is not together[0].entry or held + shard.size_bytes > size_bytes):
            yield together
            together = []
        together.append(shard)
    if together:
        yield together


def _read_shard(store: PublishedStore, shard: _Shard) -> pa.Table:
    """The rows of a shard, in the columns that readers need, as they are there."""
    data = store.read_artefact(shard.entry, shard.name, shard.sha256)
    try:
        return csv.read_csv(
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


def _files_of(rows: pa.Table, shard: _Shard, rules: Rules, prefix: str) -> pa.Table:
    """Those of the rows of some shards of one dataset that rules mean, in `FILES`; `shard` is one of them.

    Sizes, then paths decide, and nothing else is looked at or copied before: of a million files, few are meant.
    """
    numbers = pc.indices_nonzero(pa.repeat(pa.scalar(value=True), len(rows)))
    found = match_sizes(pa.table({"row": numbers, "path": rows["path"], "size": rows["bytes"]}), rules)
    if shard.entry.branch:
        paths = pc.binary_join_element_wise(f"{shard.entry.branch}/", found["path"], "")
        found = found.set_column(1, "path", paths)
    found = match_names(found, rules, prefix=prefix)
    if len(found) < len(rows):
        rows = rows.take(found["row"].combine_chunks())
    keys = rows["key"]
    if any(hold_any(chunk, b"%") for chunk in keys.chunks):
        keys = pa.array([unescape_line(key) for key in keys.to_pylist()], pa.string())
    columns = {name: rows[name] for name in (*_TEXTS, *_TYPES)} | {
        "path": found["path"],
        "branch": _constant(shard.entry.branch, len(found)),
        "key": keys,
        "size": found["size"],
        "base_url": _constant(shard.base_url, len(found)),
    }
    return pa.table([columns[name] for name in FILES.names], FILES)


def _constant(value: str, length: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), length), pa.array([value], pa.string()))
