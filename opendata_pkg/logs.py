"""A dataset's git-annex branch: for every key that it has or had, where it is and at which URLs."""

from __future__ import annotations

from functools import reduce
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg import annex
from opendata_pkg.arrays import joined
from opendata_pkg.changes import Change, compare
from opendata_pkg.git.deflate import repeat, store
from opendata_pkg.git.objects import FILE, FOLDER
from opendata_pkg.git.trees import Edit, edit_trees, folders_of, read_files, read_trees
from opendata_pkg.model import is_real_version
from opendata_pkg.plan import annex_keys
from opendata_pkg.urls import NotAnObjectUrlError, parse_object_url
from opendata_pkg.weblogs import Candidate, next_web_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opendata_pkg.changes import Difference
    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.trees import Read
    from opendata_pkg.model import ObjectKey, S3Object, VersionId
    from opendata_pkg.plan import Plan

_LOCATION, _WEB = b".log", b".log.web"
# `abc/` and `abc/def/`, of the path of a log: annex.log_stems.
_TOP, _LEAF = slice(0, 4), slice(4, 8)

OldLog = tuple[bytes, bytes]
"""The location log and the URL log of a key, as last released."""


class Log(NamedTuple):
    """A key's logs: their path without `.log`, and the 20-byte ids of the location log and of the URL log."""

    stem: bytes
    location: bytes
    web: bytes


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
        stems: list[bytes] = []
        rows: list[tuple[str, str, VersionId | None]] = []
        lines: list[bytes] = []
        for batch in batches:
            stems += annex.log_stems(annex_keys(batch, self._plan))
            rows += zip(*(batch[name].to_pylist() for name in ("key", "url", "version_id")), strict=True)
            lines += joined(f"{self._time}s 1 ", batch["url"], "\n").cast(pa.binary()).to_pylist()
        missing = sorted(old.keys() - set(stems)) if old else []
        order = sorted(range(len(stems)), key=stems.__getitem__)
        locations: list[bytes] = []
        made: list[bytes] = []

        def bodies() -> Iterator[bytes]:
            here = annex.location_log(self._time, present=True)
            for stem, group in groupby(order, key=stems.__getitem__):
                numbers = list(group)
                made.append(stem)
                if len(numbers) == 1 and stem not in old:
                    # Most keys of a new dataset: what `_update` would say of them.
                    locations.append(self._location(here))
                    yield lines[numbers[0]]
                else:
                    location, web = self._update(stem, old.get(stem), [_candidate(*rows[number]) for number in numbers])
                    locations.append(location)
                    yield web
            for stem in missing:
                made.append(stem)
                location, web = self._update(stem, old[stem], [])
                locations.append(location)
                yield web

        webs = list(self._writer.add_all(b"blob", bodies(), store))
        logs = map(Log._make, zip(made, locations, webs, strict=True))
        return iter(sorted(logs)) if missing else logs

    def edit(self, read: Read, tree: bytes, difference: Difference) -> bytes:
        """Write the tree that the last release's becomes when only these files are new or gone; returns its id."""
        plan = self._plan
        touched = {
            stem
            for rows in (difference.gone, difference.new)
            for batch in plan.addressed(rows)
            for stem in annex.log_stems(annex_keys(batch, plan))
        }
        paths = sorted(stem + kind for stem in touched for kind in (_LOCATION, _WEB))
        trees = read_trees(read, tree, folders_of(paths))
        found = read_files(read, trees, paths)
        old = {stem: (found[stem + _LOCATION], found[stem + _WEB]) for stem in touched if stem + _WEB in found}
        # All files with one of these keys have the digest of one that is new or gone.
        alike = plan.addressed(_sharing(plan.table, difference))
        rows = (
            batch.filter(pa.array([stem in touched for stem in annex.log_stems(annex_keys(batch, plan))], pa.bool_()))
            for batch in alike
        )
        edits = [
            Edit(log.stem + kind, FILE, blob)
            for log in self.make(rows, old)
            for kind, blob in ((_LOCATION, log.location), (_WEB, log.web))
        ]
        # Of the keys touched and no others: all that is on the way to them has been read.
        return edit_trees(trees, self._writer, edits, pack=_pack_leaf)

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


def write_log_tree(writer: ObjectWriter, logs: Iterable[Log]) -> bytes:
    """Write the trees of a whole git-annex branch, of logs sorted by stem; returns the top tree's id.

    What `write_tree` would do, for the millions of small folders of which most hold one key: in bulk.
    """
    folders: list[bytes] = []

    def leaves() -> Iterator[bytes]:
        for folder, group in groupby(logs, key=lambda log: log.stem[:8]):
            folders.append(folder)
            entries = [
                b"100644 %s%s\0%s" % (stem[8:], kind, blob)
                for stem, location, web in group
                for kind, blob in ((_LOCATION, location), (_WEB, web))
            ]
            # By whole names: `a-b.log` sorts before `a.log`. (All begin with the same mode.)
            yield b"".join(entries if len(entries) == 2 else sorted(entries))  # noqa: PLR2004 - one key

    ids = list(writer.add_all(b"tree", leaves(), _pack_leaf))
    tops: list[bytes] = []

    def bodies() -> Iterator[bytes]:
        for top, group in groupby(zip(folders, ids, strict=True), key=lambda leaf: leaf[0][_TOP]):
            tops.append(top)
            yield b"".join(b"%s %s\0%s" % (FOLDER, folder[_LEAF][:-1], leaf) for folder, leaf in group)

    entries = zip(tops, list(writer.add_all(b"tree", bodies(), store)), strict=True)
    return writer.add(b"tree", b"".join(b"%s %s\0%s" % (FOLDER, top[:-1], tree) for top, tree in entries))


def _pack_leaf(body: bytes) -> bytes:
    """A folder of one key, packed: both its entries begin alike. Of another folder, most bytes are ids."""
    first = body.find(b"\0") + 21
    shared = first - 21
    alike = body[:shared].endswith(_LOCATION) and body[first : first + shared] == body[:shared]
    return repeat(body, first, shared, first) if alike else store(body)


def _sharing(table: pa.Table, difference: Difference) -> pa.Table:
    """The rows that may have the content of one that is new or gone."""
    masks = (
        pc.is_in(
            table[name],
            pa.concat_arrays([rows[name].combine_chunks() for rows in (difference.gone, difference.new)]).drop_null(),
        )
        for name in ("sha256", "md5", "key")
    )
    return table.filter(reduce(pc.or_, masks))


def _candidate(key: str, url: str, version_id: VersionId | None) -> Candidate:
    return Candidate(not is_real_version(version_id), False, key.encode(), url)


def _dated_alike(before: S3Object, after: S3Object) -> bool:
    """Whether S3 itself says that an object was not written again: by its ETag, or by a date that is known."""
    if before.etag is not None and after.etag is not None:
        return before.etag == after.etag
    return before.last_modified is not None and before.last_modified == after.last_modified
