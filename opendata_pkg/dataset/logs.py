"""A dataset's git-annex branch: for every key that it has or had, where it is and at which URLs."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from itertools import repeat
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg import annex
from opendata_pkg.columns.arrays import joined
from opendata_pkg.dataset.log_trees import Log, LogTrees, write_log_tree
from opendata_pkg.dataset.weblogs import Candidate, next_web_log
from opendata_pkg.git.deflate import store
from opendata_pkg.model import is_real_version
from opendata_pkg.plan.changes import Change, compare
from opendata_pkg.plan.plan import annex_keys
from opendata_pkg.urls import NotAnObjectUrlError, parse_object_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.trees import Read
    from opendata_pkg.model import ObjectKey, S3Object
    from opendata_pkg.plan.changes import Difference
    from opendata_pkg.plan.plan import Plan

OldLog = tuple[bytes, bytes]
"""The location log and the URL log of a key, as last released."""


class LogsMaker:
    """Makes the logs of a plan's keys, for a commit at `time`.

    `current` and `released` give the object of a key, whichever dataset holds it, in this snapshot and in that of the
    last release. `borrowed` counts, of the logs made, the URLs on offer that may have to be withdrawn though nothing of
    this dataset changes.
    """

    def __init__(
        self,
        writer: ObjectWriter,
        plan: Plan,
        *,
        time: int,
        current: Callable[[ObjectKey], S3Object | None],
        released: Callable[[ObjectKey], S3Object | None],
    ) -> None:
        self.borrowed = 0
        self._writer, self._plan, self._time = writer, plan, time
        self._current, self._released = current, released
        self._base = plan.snapshot.header.base_url or ""
        self._locations: dict[bytes, bytes] = {}

    def make(self, batches: Iterable[pa.RecordBatch], old: Mapping[bytes, OldLog]) -> Iterator[Log]:
        """The logs of the keys of some files, and of those in `old`, by stem; sorted.

        Args:
            batches: files of the plan (`Plan.addressed`): all that have one of the keys.
            old: the logs of keys as last released, by stem.
        """
        plan = self._plan
        return self._make(((annex.log_stems(annex_keys(batch, plan)), batch) for batch in batches), old)

    def _make(self, files: Iterable[tuple[list[bytes], pa.RecordBatch]], old: Mapping[bytes, OldLog]) -> Iterator[Log]:
        """`make`, of files with the stems of their keys."""
        stems: list[bytes] = []
        lines: list[bytes] = []
        batches: list[pa.RecordBatch] = []
        for found, batch in files:
            stems += found
            lines += joined(f"{self._time}s 1 ", batch["url"], "\n").cast(pa.binary()).to_pylist()
            batches.append(batch.select(["key", "url", "version_id"]))
        # Keys that had logs, or that several files have; of these files, by key.
        others: dict[bytes, list[Candidate]] = {stem: [] for stem in old}
        others.update((stem, []) for stem, count in Counter(stems).items() if count > 1)
        if others:
            _add_candidates(others, stems, batches)
        alone = sorted(
            (number for number, stem in enumerate(stems) if stem not in others) if others else range(len(stems)),
            key=stems.__getitem__,
        )
        made = [*map(stems.__getitem__, alone), *others]
        locations: list[bytes] = []

        def bodies() -> Iterator[bytes]:
            # Most keys of a new dataset: what `_update` would say of them.
            if alone:
                locations.extend(repeat(self._location(annex.location_log(self._time, present=True)), len(alone)))
            yield from map(lines.__getitem__, alone)
            for stem, candidates in others.items():
                location, web = self._update(stem, old.get(stem), candidates)
                locations.append(location)
                yield web

        webs = list(self._writer.add_all(b"blob", bodies(), store))
        logs = map(Log._make, zip(made, locations, webs, strict=True))
        return iter(sorted(logs)) if others else logs

    def edit(self, read: Read, tree: bytes, difference: Difference) -> bytes:
        """Write the tree that the last release's becomes when only these files are new or gone; returns its id.

        All URLs then offered that may have to be withdrawn are of files of this dataset: `borrowed` was 0.
        """
        files, stems = self._touched(difference)
        trees = LogTrees(read, tree, stems)
        before = list(trees.logs(sorted(stems)))
        contents = _contents(read, before)
        old = {log.stem: (contents[log.location], contents[log.web]) for log in before}
        return write_log_tree(self._writer, self._make(files, old), trees)

    def _touched(self, difference: Difference) -> tuple[list[tuple[list[bytes], pa.RecordBatch]], set[bytes]]:
        """The files that have a key of one that is new or gone, with their stems; and the stems of all logs to look at.

        Of a key that no file has any more, each URL on offer is one of a file that is gone, or has a versionId.
        `next_web_log` keeps those that have one, and adds none: where all have one, the logs stay as they are, unread.
        """
        plan = self._plan
        gone, withdrawn = [pa.array([], pa.string())], [pa.array([], pa.string())]
        for batch in plan.addressed(difference.gone):
            overwritable = pc.fill_null(pc.equal(batch["version_id"], "null"), fill_value=True)
            gone.append(annex_keys(batch, plan))
            withdrawn.append(gone[-1].filter(overwritable))
        alike = [(annex_keys(batch, plan), batch) for batch in plan.addressed(_sharing(plan.table, difference))]
        names = difference.new["key"].combine_chunks()
        new = [keys.filter(pc.is_in(batch["key"], names)) for keys, batch in alike]
        touched = pa.concat_arrays([*gone, *new])
        files = []
        for keys, batch in alike:
            mask = pc.is_in(keys, touched)
            files.append((annex.log_stems(keys.filter(mask)), batch.filter(mask)))
        return files, {*annex.log_stems(pa.concat_arrays(withdrawn)), *(stem for stems, _ in files for stem in stems)}

    def _location(self, log: bytes) -> bytes:
        """The id of a location log; most are the same."""
        if log not in self._locations:
            self._locations[log] = self._writer.add(b"blob", log)
        return self._locations[log]

    def _update(self, stem: bytes, old: OldLog | None, current: list[Candidate]) -> OldLog:
        """The id of a key's location log and the content of its URL log, after this release."""
        before = annex.parse_web_log(b"" if old is None else old[1])
        own = {candidate.url for candidate in current}
        after = next_web_log(before, current, lambda url: self._recheck(stem, url), self._time)
        self.borrowed += sum(
            offered and url not in own and self._object_key(url) is not None for url, (_, offered) in after.items()
        )
        was = any(offered for _, offered in before.values())
        now = any(offered for _, offered in after.values())
        location = old[0] if old is not None and before and was == now else annex.location_log(self._time, present=now)
        return self._location(location), annex.web_log((url, time, offered) for url, (time, offered) in after.items())

    def _recheck(self, stem: bytes, url: str) -> Candidate | None:
        """What a URL offered before is now: a versioned one serves what it served; another, what its object is."""
        key = self._object_key(url)
        if key is None:
            # Versioned; or at an address that this snapshot says nothing of, which cannot be vouched for.
            return Candidate(False, True, url.encode(), url) if "?versionId=" in url else None
        entry = self._current(key)
        if entry is None:
            return None
        # A key made when less was known of the object (its MD5, or nothing) still names the same content. So does one
        # made when other things were known, of an object that was right in the last release and has not changed since.
        same = any(annex.log_stem(known).encode() == stem for known in annex.keys_of(entry, url))
        if not same and (before := self._released(key)) is not None:
            same = _dated_alike(before, entry) and compare(before, entry) is not Change.CHANGED
        return Candidate(True, False, key.encode(), url) if same else None

    def _object_key(self, url: str) -> ObjectKey | None:
        """The key that an unversioned URL below this snapshot's address names."""
        # Only a version stands behind a `?`.
        if "?" in url:
            return None
        try:
            key, version_id = parse_object_url(self._base, url)
        except NotAnObjectUrlError:
            return None
        return key if version_id is None else None


def _sharing(table: pa.Table, difference: Difference) -> pa.Table:
    """The rows that may have the git-annex key of one that is new or gone: it is made of the best that is known."""
    others = pa.concat_tables([difference.gone, difference.new]).select(["sha256", "md5", "key"])
    masks = []
    for name in others.column_names:
        values = others[name].drop_null()
        if len(values):
            masks.append(pc.is_in(table[name], values.combine_chunks()))
        others = others.filter(pc.is_null(others[name]))
    return table.filter(reduce(pc.or_, masks)) if masks else table.slice(0, 0)


def _contents(read: Read, logs: Iterable[Log]) -> dict[bytes, bytes]:
    """The logs' contents, by id."""
    # Many are the same: most keys of a release have one location log.
    ids = dict.fromkeys(raw_id for log in logs for raw_id in (log.location, log.web))
    return dict(zip(ids, read(ids), strict=True))


def _add_candidates(
    found: Mapping[bytes, list[Candidate]], stems: Sequence[bytes], batches: Iterable[pa.RecordBatch]
) -> None:
    """Add the files of these keys; `stems` are those of all files in the batches."""
    start = 0
    for batch in batches:
        stop = start + len(batch)
        rows = [row for row, stem in enumerate(stems[start:stop]) if stem in found]
        some = batch.take(pa.array(rows, pa.int64()))
        columns = (some[name].to_pylist() for name in ("key", "url", "version_id"))
        for row, key, url, version_id in zip(rows, *columns, strict=True):
            found[stems[start + row]].append(Candidate(not is_real_version(version_id), False, key.encode(), url))
        start = stop


def _dated_alike(before: S3Object, after: S3Object) -> bool:
    """Whether S3 itself says that an object was not written again: by its ETag, or by a date that is known."""
    if before.etag is not None and after.etag is not None:
        return before.etag == after.etag
    return before.last_modified is not None and before.last_modified == after.last_modified
