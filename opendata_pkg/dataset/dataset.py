"""A plan as git objects: one commit of the dataset's tree, one of its git-annex branch.

Both depend on the plan, on the children's commits and on what was last released, and on nothing else: no clock, host,
user or order of a dictionary. Objects go to an `ObjectWriter` in one pass over the plan's files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg import annex
from opendata_pkg.citation import of_tree, to_cff
from opendata_pkg.columns.arrays import bytes_of
from opendata_pkg.dataset import descriptor
from opendata_pkg.dataset.inventory import InventoryWriter, begins_shard, content_digest, paths_and_lines, totals_of
from opendata_pkg.dataset.kept_shards import DamagedShardsError, KeptShards
from opendata_pkg.dataset.log_trees import write_log_tree
from opendata_pkg.dataset.logs import LogsMaker, OldLog
from opendata_pkg.dataset.readme import dataset_readme
from opendata_pkg.dataset.registry import registry_lines
from opendata_pkg.files import replacing, write_bytes
from opendata_pkg.git import deflate
from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.trees import Edit, edit_tree
from opendata_pkg.paths import fold
from opendata_pkg.plan.plan import annex_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from opendata_pkg.catalogue.catalogue import Branch
    from opendata_pkg.dataset.inventory import Shard
    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.repository import ObjectReader, Repository
    from opendata_pkg.model import ObjectId, ObjectKey, S3Object
    from opendata_pkg.plan.changes import Difference
    from opendata_pkg.plan.plan import Plan
    from opendata_pkg.written import Commits, ContentDigest, Totals, Written

MAIN_MESSAGE = "State of the branch in its bucket"
ANNEX_MESSAGE = "update"

# What `_add_metadata` may put at the top of a tree, and where all is ours.
_OUR_TEXTS = ("datapackage.json", "README.md", "CITATION.cff", ".gitattributes", ".gitmodules")
# Where the bucket has such a file itself, the object wins: names as `fold` has them, and how what folds to one begins.
_README, _CITATION = "readme.md", "citation.cff"
_BEGINNINGS = "^[rRcC]"
_OUR_FOLDERS = (b"_opendata/", b"_opendata/files/", b".datalad/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A subdataset at its commit."""

    branch: Branch
    commits: Commits


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A dataset in the last release.

    `difference` is what is new or gone since, where nothing else decides paths and logs; None: all is to be looked at.
    `artefacts` is the folder of what was released of it, `descriptor` the SHA-256 of its `datapackage.json`.
    """

    written: Written
    difference: Difference | None
    artefacts: Path
    descriptor: str | None


def write_files(
    plan: Plan,
    *,
    children: Sequence[Child],
    past: Past | None,
    time: int,
    reader: ObjectReader | None,
    writer: ObjectWriter,
    staging: Path,
) -> tuple[ObjectId, Totals, ContentDigest]:
    """Write the tree of a dataset and its commit, the one before if nothing changed; returns it, totals and digest.

    Args:
        plan: the dataset's files.
        children: its subdatasets, already written.
        past: the dataset in the last release, None if it had none.
        time: of the commit, in seconds (UTC): `commit_time`.
        reader: gives older objects; None if there is no past.
        writer: takes the new ones.
        staging: a folder for what the release will publish: inventory, registry, descriptor; yet to be synced.
    """
    files = _FilesWriter(writer, staging)
    files.write(plan, past)
    totals, digest = totals_of(plan.table), content_digest(plan.table, plan.branch.prefix)
    _add_metadata(files, plan, children, totals, digest, staging)
    if past is None or reader is None:
        return _commit(writer, write_tree(writer, sorted(files.entries)), None, time, MAIN_MESSAGE), totals, digest
    old = reader.tree_of(past.written.commits.main)
    if past.difference is None:
        tree = write_tree(writer, sorted(files.entries))
    else:
        # What was ours and is set no more: the shards and settings, and texts for which there is no reason now.
        stale = [Edit(name.encode(), FILE, None) for name in _OUR_TEXTS]
        edits = [*stale, *(Edit(path, SYMLINK, None) for path in files.gone), *map(Edit._make, files.entries)]
        tree = edit_tree(reader.read, writer, old, edits, anew=_OUR_FOLDERS)
    if tree == old:
        return past.written.commits.main, totals, digest
    return _commit(writer, tree, past.written.commits.main, time, MAIN_MESSAGE), totals, digest


def write_logs(
    plan: Plan,
    *,
    past: Past | None,
    time: int,
    repository: Repository,
    reader: ObjectReader | None,
    writer: ObjectWriter,
    current: Callable[[ObjectKey], S3Object | None],
    released: Callable[[ObjectKey], S3Object | None],
) -> tuple[ObjectId, int]:
    """Write the git-annex branch of a dataset; returns its commit, and how many URLs on offer are borrowed.

    `current` gives the snapshot's object of a key, whichever dataset holds it, `released` that of the last release's
    snapshot; the rest is as for `write_files`.
    """
    logs = LogsMaker(writer, plan, time=time, current=current, released=released)
    if past is None or reader is None:
        tree = write_log_tree(writer, logs.make(plan.addressed(), {}))
        return _commit(writer, tree, None, time, ANNEX_MESSAGE), logs.borrowed
    old = reader.tree_of(past.written.commits.annex)
    if past.difference is None:
        tree = write_log_tree(
            writer, logs.make(plan.addressed(), _old_logs(repository.files_of(past.written.commits.annex)))
        )
    else:
        tree = logs.edit(reader.read, old, past.difference)
    if tree == old:
        return past.written.commits.annex, logs.borrowed
    return _commit(writer, tree, past.written.commits.annex, time, ANNEX_MESSAGE), logs.borrowed


def commit_time(plan: Plan, children: Sequence[Child], before: Commits | None, epoch: int) -> int:
    """Seconds of the dataset's newest last-modified, at least one after its last release; else the epoch.

    Log lines that tie or go back would lose git-annex's merge in clones that exist already. The children's times count
    as dates of their parent, whose tree names their commits.
    """
    dates = [child.commits.time for child in children]
    newest_us = pc.max(plan.table["last_modified"].cast(pa.int64())).as_py()
    if newest_us is not None:
        dates.append(newest_us // 1_000_000)
    if before is not None:
        dates.append(before.time + 1)
    return max(0, max(dates, default=epoch))


class _FilesWriter:
    """Takes the files of a plan once and makes of them all that is one line or object a file.

    `gone` are the paths of those that are no more as they were, in order, where the others are left alone.
    """

    def __init__(self, writer: ObjectWriter, staging: Path) -> None:
        self.entries: list[TreeEntry] = []
        self.gone: list[bytes] = []
        self.shards: list[descriptor.ShardInfo] = []
        self._writer, self._staging = writer, staging

    def write(self, plan: Plan, past: Past | None) -> None:
        """Write links for all files, or for those that are new; inventory and registry are of all."""
        is_new = past is None or past.difference is None
        has_shards = past is not None and past.difference is not None and self._edit(plan, past, past.difference)
        inventory = InventoryWriter()
        base = plan.snapshot.header.base_url or ""
        with replacing(self._staging / "registry.txt", sync=False) as registry:
            for batch in plan.batches():
                if is_new:
                    self._add_links(batch["path"], annex_keys(batch, plan))
                if not has_shards:
                    self._add_shards(inventory.add(batch))
                registry.write(bytes_of(registry_lines(batch, base)))
        self._add_shards(inventory.finish())

    def _edit(self, plan: Plan, past: Past, difference: Difference) -> bool:
        """Write links for the files that are new; and all shards, if those of the last release are as they were."""
        new = list(plan.batches(difference.new))
        for batch in new:
            self._add_links(batch["path"], annex_keys(batch, plan))
        self.gone = sorted(plan.naming.paths_of(difference.gone["key"].combine_chunks()).cast(pa.binary()).to_pylist())
        begins = [path for path, _, _ in self.entries if begins_shard(path)]
        try:
            kept = KeptShards(past.artefacts, past.descriptor)
            self._add_shards(kept.edited(self.gone, paths_and_lines(new), begins))
        except DamagedShardsError:
            return False
        return True

    def add_text(self, path: str, content: bytes) -> None:
        """A file of ours, in git itself."""
        self.entries.append(TreeEntry(path.encode(), FILE, self._writer.add(b"blob", content)))

    def _add_links(self, paths: pa.Array, keys: pa.Array) -> None:
        ids = self._writer.add_all(b"blob", annex.symlink_targets(paths, keys), _pack_link)
        names = paths.cast(pa.binary()).to_pylist()
        self.entries += map(TreeEntry._make, zip(names, repeat(SYMLINK), ids))

    def _add_shards(self, shards: Iterable[Shard]) -> None:
        """Take all of these shards; or none, where making one fails."""
        for info, blob in [self._put(shard) for shard in shards]:
            self.shards.append(info)
            self.entries.append(TreeEntry(f"{descriptor.SHARD_FOLDER}{info.name}".encode(), FILE, blob))

    def _put(self, shard: Shard) -> tuple[descriptor.ShardInfo, bytes]:
        target = self._staging / "files" / shard.info.name
        if shard.released is None or not _link(shard.released, target):
            write_bytes(target, shard.data, sync=False)
        return shard.info, self._writer.add(b"blob", shard.data)


def _link(file: Path, target: Path) -> bool:
    """Give a file a second name: what is published never changes, so it may stand in many releases."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        return False
    return True


def _pack_link(target: bytes) -> bytes:
    """A symlink, packed: it ends in the key's name twice."""
    length = len(target) - target.rfind(b"/") - 1
    return deflate.repeat(target, len(target) - length, length, length + 1)


def _first_names(plan: Plan) -> set[str]:
    """The names in the top folder of a plan's files, folded: of those that begin as `_README` or `_CITATION`."""
    alike = plan.paths.filter(pc.match_substring_regex(plan.paths, _BEGINNINGS))
    names = pc.unique(pc.replace_substring_regex(alike, "/.*", ""))
    return {fold(name) for name in names.to_pylist()}


def _add_metadata(
    files: _FilesWriter,
    plan: Plan,
    children: Sequence[Child],
    totals: Totals,
    digest: ContentDigest,
    staging: Path,
) -> None:
    """Add what stands in a dataset's tree beside its files: descriptor, README, citation, DataLad's and git's files."""
    branch = plan.branch
    mounts = [(plan.naming.mount_path(child.branch.mount_in_parent), child) for child in children]
    root_names = _first_names(plan)
    has_readme = _README in root_names
    document = descriptor.descriptor(
        branch,
        totals=totals,
        digest=digest,
        base_url=plan.snapshot.header.base_url or "",
        shards=files.shards,
        readme=not has_readme,
    )
    texts = {
        "datapackage.json": descriptor.render_descriptor(document),
        ".gitattributes": descriptor.GITATTRIBUTES.encode(),
        ".datalad/config": descriptor.datalad_config(branch).encode(),
    }
    if not has_readme:
        below = [(mount, child.branch) for mount, child in mounts]
        readme = dataset_readme(branch, totals=totals, digest=digest, children=below)
        texts["README.md"] = readme.encode()
    if _CITATION not in root_names:
        texts["CITATION.cff"] = to_cff(of_tree(branch, digest=digest)).encode()
    if files.shards:
        texts[descriptor.SCHEMA_PATH] = descriptor.table_schema()
    if mounts:
        texts[".gitmodules"] = descriptor.gitmodules((mount, child.branch) for mount, child in mounts).encode()
    for path, content in texts.items():
        files.add_text(path, content)
    for mount, child in mounts:
        files.entries.append(TreeEntry(mount.encode(), GITLINK, bytes.fromhex(child.commits.main)))
    for name in ("datapackage.json", "README.md"):
        if name in texts:
            write_bytes(staging / name, texts[name], sync=False)
    if files.shards:
        write_bytes(
            staging / descriptor.SCHEMA_PATH.removeprefix("_opendata/"), texts[descriptor.SCHEMA_PATH], sync=False
        )


def _old_logs(files: Iterable[tuple[bytes, bytes]]) -> dict[bytes, OldLog]:
    """All logs of a git-annex branch, by stem; of its (path, content) in path order."""
    found: dict[bytes, OldLog] = {}
    location = b""
    for path, body in files:
        # A key's `.log` stands before its `.log.web`, with nothing of another key's between.
        stem, _, kind = path.rpartition(b".log")
        if kind == b"":
            location = body
        else:
            found[stem] = location, body
    return found


def _commit(writer: ObjectWriter, tree: bytes, before: ObjectId | None, time: int, message: str) -> ObjectId:
    parents = () if before is None else (bytes.fromhex(before),)
    commit = Commit(tree=tree, parents=parents, time=time, message=message)
    return hex_id(writer.add(b"commit", commit.body()))
