"""A plan as git objects: one commit of the dataset's tree, one of its git-annex branch.

Both depend on the plan, on the children's commits and on what was last released, and on nothing else: no clock, host,
user or order of a dictionary. Objects go to an `ObjectWriter` in one pass over the plan's files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg import annex, descriptor
from opendata_pkg.changes import Change, compare
from opendata_pkg.citation import of_tree, to_cff
from opendata_pkg.files import write_bytes, write_text
from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.inventory import ContentDigest, InventoryWriter, Shard, Totals, content_digest, totals_of
from opendata_pkg.model import AnnexKey, ObjectId, ObjectKey, S3Object, is_real_version
from opendata_pkg.paths import fold
from opendata_pkg.readme import dataset_readme
from opendata_pkg.registry import registry_line
from opendata_pkg.urls import NotAnObjectUrlError, parse_object_url
from opendata_pkg.weblogs import Candidate, next_web_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from opendata_pkg.catalogue import Branch
    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.repository import Repository
    from opendata_pkg.plan import Plan, PlannedFile

MAIN_MESSAGE = "State of the branch in its bucket"
ANNEX_MESSAGE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """Where a dataset stands: its two commits and the time, in seconds (UTC), of the later change."""

    main: ObjectId
    annex: ObjectId
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A subdataset at its commit."""

    branch: Branch
    commits: Commits


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A dataset as written: commits, totals and content digest of its own files.

    `borrowed` counts unversioned URLs on offer that belong to objects of other datasets by now: while there are some,
    the dataset's logs must be looked at in every release.
    """

    commits: Commits
    totals: Totals
    digest: ContentDigest
    borrowed: int


def write_dataset(
    plan: Plan,
    *,
    children: Sequence[Child],
    before: Commits | None,
    epoch: int,
    repository: Repository,
    staging: Path,
    current: Callable[[ObjectKey], S3Object | None],
    released: Callable[[ObjectKey], S3Object | None],
) -> Written:
    """Write one dataset's objects; what did not change keeps its commit.

    Args:
        plan: the dataset's files.
        children: its subdatasets, already written.
        before: its commits in the last release, None if it had none.
        epoch: the time of a dataset that has no dates at all (seconds, UTC).
        repository: where the objects go; its refs are left alone.
        staging: a folder for what the release will publish: inventory, registry, descriptor.
        current: the snapshot's object of a key, whichever dataset holds it.
        released: the same of the last release's snapshot; None for every key if there was none.
    """
    time = commit_time(plan, children, before, epoch)
    with repository.writer() as writer:
        files = _FilesWriter(writer, staging)
        for file in plan.files():
            files.add(file)
        files.finish()
        totals, digest = totals_of(plan.table), content_digest(plan.table, plan.branch.prefix)
        _add_metadata(files, plan, children, totals, digest, staging)
        tree = write_tree(writer, sorted(files.entries))
        logs = _LogsWriter(plan, time, current, released, writer)
        annex_tree = logs.write(files.candidates, repository, before)
        main = _commit(writer, repository, tree, None if before is None else before.main, time, MAIN_MESSAGE)
        annexed = _commit(writer, repository, annex_tree, None if before is None else before.annex, time, ANNEX_MESSAGE)
    commits = Commits(main=main, annex=annexed, time=time)
    if before is not None and (main, annexed) == (before.main, before.annex):
        commits = before
    return Written(commits=commits, totals=totals, digest=digest, borrowed=logs.borrowed)


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
    """Takes the files of a plan once and makes of them all that is one line or object a file."""

    def __init__(self, writer: ObjectWriter, staging: Path) -> None:
        self.entries: list[TreeEntry] = []
        self.candidates: dict[AnnexKey, list[Candidate]] = {}
        self.shards: list[descriptor.ShardInfo] = []
        self.root_names: set[str] = set()
        self._writer, self._staging = writer, staging
        self._inventory = InventoryWriter()
        self._registry: list[str] = []

    def add(self, file: PlannedFile) -> None:
        entry = file.entry
        target = annex.symlink_target(file.annex_key, file.path.count("/"))
        self.entries.append(TreeEntry(file.path.encode(), SYMLINK, self._writer.add(b"blob", target.encode())))
        candidate = Candidate(not is_real_version(entry.version_id), False, entry.key.encode(), file.url)
        self.candidates.setdefault(file.annex_key, []).append(candidate)
        self.root_names.add(fold(file.path.partition("/")[0]))
        self._add_shard(self._inventory.add(file))
        line = registry_line(file.path, file.entry.digest, file.url)
        if line is not None:
            self._registry.append(line)

    def finish(self) -> None:
        self._add_shard(self._inventory.finish())
        write_text(self._staging / "registry.txt", "".join(self._registry))

    def add_text(self, path: str, content: bytes) -> None:
        """A file of ours, in git itself."""
        self.entries.append(TreeEntry(path.encode(), FILE, self._writer.add(b"blob", content)))

    def _add_shard(self, shard: Shard | None) -> None:
        if shard is not None:
            self.shards.append(descriptor.shard_info(shard.name, shard.data, shard.first_path))
            self.add_text(f"{descriptor.SHARD_FOLDER}{shard.name}", shard.data)
            write_bytes(self._staging / "files" / shard.name, shard.data)


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
    # Where the bucket has such a file itself, the object wins.
    has_readme = "readme.md" in files.root_names
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
    if "citation.cff" not in files.root_names:
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
            write_bytes(staging / name, texts[name])
    if files.shards:
        write_bytes(staging / descriptor.SCHEMA_PATH.removeprefix("_opendata/"), texts[descriptor.SCHEMA_PATH])


class _LogsWriter:
    """Writes the git-annex branch: for every key that the dataset has or had, where it is and at which URLs."""

    def __init__(
        self,
        plan: Plan,
        time: int,
        current: Callable[[ObjectKey], S3Object | None],
        released: Callable[[ObjectKey], S3Object | None],
        writer: ObjectWriter,
    ) -> None:
        self.borrowed = 0
        self._base = plan.snapshot.header.base_url or ""
        self._time, self._current, self._released, self._writer = time, current, released, writer
        self._entries: list[TreeEntry] = []
        self._locations: dict[bytes, bytes] = {}

    def write(
        self, candidates: dict[AnnexKey, list[Candidate]], repository: Repository, before: Commits | None
    ) -> bytes:
        """Write all logs and return the tree's id."""
        waiting = {annex.log_stem(key): urls for key, urls in candidates.items()}
        if before is not None:
            locations: dict[str, bytes] = {}
            for path, body in repository.files_of(before.annex):
                # In path order a key's `.log` stands before its `.log.web`.
                stem, _, kind = path.decode().rpartition(".log")
                if kind == "":
                    locations[stem] = body
                else:
                    self._update(stem, locations.pop(stem), body, waiting.pop(stem, []))
        for stem, urls in waiting.items():
            self._update(stem, b"", b"", urls)
        return write_tree(self._writer, sorted(self._entries))

    def _update(self, stem: str, old_location: bytes, old_web: bytes, current: list[Candidate]) -> None:
        before = annex.parse_web_log(old_web)
        own = {candidate.url for candidate in current}
        after = next_web_log(before, current, lambda url: self._recheck(stem, url), self._time)
        self.borrowed += sum(
            offered and url not in own and self._object_key(url) is not None for url, (_, offered) in after.items()
        )
        was = any(offered for _, offered in before.values())
        now = any(offered for _, offered in after.values())
        location = old_location if before and was == now else annex.location_log(self._time, present=now)
        web = annex.web_log((url, time, offered) for url, (time, offered) in after.items())
        location_id = self._locations.get(location) or self._writer.add(b"blob", location)
        self._locations[location] = location_id
        path = stem.encode()
        self._entries.append(TreeEntry(path + b".log", FILE, location_id))
        self._entries.append(TreeEntry(path + b".log.web", FILE, self._writer.add(b"blob", web)))

    def _recheck(self, stem: str, url: str) -> Candidate | None:
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
        same = any(annex.log_stem(known) == stem for known in annex.keys_of(entry, url))
        if not same and (before := self._released(key)) is not None:
            same = _dated_alike(before, entry) and compare(before, entry) is not Change.CHANGED
        return Candidate(True, False, key.encode(), url) if same else None

    def _object_key(self, url: str) -> ObjectKey | None:
        """The key that an unversioned URL below this snapshot's address names."""
        try:
            key, version_id = parse_object_url(self._base, url)
        except NotAnObjectUrlError:
            return None
        return key if version_id is None else None


def _dated_alike(before: S3Object, after: S3Object) -> bool:
    """Whether S3 itself says that an object was not written again: by its ETag, or by a date that is known."""
    if before.etag is not None and after.etag is not None:
        return before.etag == after.etag
    return before.last_modified is not None and before.last_modified == after.last_modified


def _commit(
    writer: ObjectWriter, repository: Repository, tree: bytes, before: ObjectId | None, time: int, message: str
) -> ObjectId:
    """The commit of a tree; the one before, if that has the same tree."""
    if before is not None and repository.tree_of(before) == hex_id(tree):
        return before
    parents = () if before is None else (bytes.fromhex(before),)
    commit = Commit(tree=tree, parents=parents, time=time, message=message)
    return hex_id(writer.add(b"commit", commit.body()))
