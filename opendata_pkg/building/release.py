"""`release`: the draft of a store becomes a version that never changes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opendata_pkg.documents import dump_json
from opendata_pkg.files import replace_all, sync_all, write_text
from opendata_pkg.git.bound import bind_packs, check_packs
from opendata_pkg.git.foreign import check_heads, check_tag
from opendata_pkg.git.objects import tag_body
from opendata_pkg.git.repository import BrokenRepositoryError
from opendata_pkg.git.upkeep import put_packs_together, refresh_server_info
from opendata_pkg.model import Grade, InputError, ObjectId
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.store.places import BrokenStoreError
from opendata_pkg.store.published import INDEX
from opendata_pkg.store.state import DatasetEntry, State, with_version
from opendata_pkg.store.store import ANNEX, DRAFT_ANNEX, DRAFT_MAIN, MAIN, REPORT, Store, VersionError, parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opendata_pkg.git.bound_packs import BoundPacks, PackList
    from opendata_pkg.git.foreign import Heads
    from opendata_pkg.git.repository import Repository


class PartialDraftError(InputError):
    """A draft of some branches only cannot be released: the root could not pin the others."""


class GradeError(InputError):
    """Files have a worse grade than the steward requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseResult:
    """What was published. `changed` are the names of the datasets with a new commit, of `datasets` in all.

    `snapshot` is the id of what it was built from, `origin` what that lists: a draft may be older than one remembers.
    """

    version: str
    commit: ObjectId
    snapshot: str
    origin: str
    changed: tuple[str, ...]
    datasets: int
    files: int
    size_bytes: int


def release(
    version: str, store_path: Path, *, require_grade: Grade | None = None, reporter: Reporter = SILENT
) -> ReleaseResult:
    """Publish the store's draft as `version`; finishes a release of that version that was interrupted.

    Refs advance children first, `index.json` is written last: a reader sees the old release or the new one.

    Raises:
        VersionError: the version is not SemVer, not above the last, or another one's release is unfinished.
        NoDraftError: there is no draft.
        PartialDraftError: the draft was built with `--only`.
        GradeError: files have a worse grade than `require_grade`.
        ForeignCommitError: somebody else has moved a published branch, or set the tag.
        BrokenRepositoryError, BrokenStoreError: something of what was built is not there any more.
    """
    number = parse_version(version)
    store = Store.open(store_path)
    with store.locked():
        versions = store.versions()
        if version in versions:
            if store.unfinished_release() == version:
                # Stopped between its last two steps: it is published, and only the draft was left to remove.
                state = store.release(version)
                store.drop_draft()
                return _result(store, state, version)
            raise VersionError(
                f"version {version} is released already and never changes: choose one above {versions[-1]}"
            )
        if versions and number <= parse_version(versions[-1]):
            raise VersionError(f"expected a version above {versions[-1]}, got {version}")
        draft = store.draft()
        if draft.version not in {None, version}:
            raise VersionError(
                f"the release of {draft.version} was interrupted: finish it first with "
                f"opendata release {draft.version} --store {store_path}"
            )
        if not draft.complete:
            raise PartialDraftError(
                "the draft holds only the branches given to build --only, so its root could not pin the others: "
                f"run opendata build SNAPSHOT --store {store_path} without --only"
            )
        _check_grades(draft, require_grade)
        latest = store.latest()
        changing = _changing(draft, latest)
        known = _Packs.of(store, latest)
        for entry, old in changing:
            _check_draft(store, entry, old, version, known)
        if draft.version is not None:
            store.remove_leftovers(version)
        # From here on only this version can be released, until it is: nothing below depends on anything else.
        store.write_draft(replace(draft, version=version))
        state = with_version(draft, version)
        state = _write_artefacts(store, state, version)
        _advance_refs(store, [entry for entry, _ in changing], version, len(state.datasets), reporter)
        packs = store.write_packs(_bind_packs(store, state, known), version)
        store.publish(state, date=_date(state.datasets[""]), packs=packs)
        store.drop_draft()
    return _result(store, state, version)


def _result(store: Store, state: State, version: str) -> ReleaseResult:
    root = state.datasets[""]
    return ReleaseResult(
        version=version,
        commit=root.written.commits.main,
        snapshot=state.snapshot,
        origin=store.read_header(state.snapshot).origin,
        changed=tuple(entry.name for entry in state.datasets.values() if entry.changed),
        datasets=len(state.datasets),
        files=root.subtree_files,
        size_bytes=root.subtree_bytes,
    )


def _check_grades(draft: State, required: Grade | None) -> None:
    if required is None:
        return
    order = list(Grade)
    worse = order[order.index(required) + 1 :]
    counts = {
        grade: sum(entry.written.totals.grades[grade.value] for entry in draft.datasets.values()) for grade in worse
    }
    if any(counts.values()):
        found = ", ".join(f"{count} {grade}" for grade, count in counts.items() if count)
        raise GradeError(
            f"expected every file to be at least {required}, but {found}: "
            "learn digests with opendata hash, or turn on the bucket's versioning, then scan and build again"
        )


def _date(entry: DatasetEntry) -> str:
    """The time of a dataset's commit: a release has no other date, or it would not be the same on every machine."""
    return format_time(datetime.fromtimestamp(entry.written.commits.time, UTC))


def _write_artefacts(store: Store, state: State, version: str) -> State:
    """Everything of `releases/<version>/`, its index last; returns what that says. Safe to do again if interrupted."""
    folder = store.path / "releases" / version
    folder.mkdir(parents=True, exist_ok=True)
    changed = {path: entry for path, entry in state.datasets.items() if entry.changed}
    state = replace(state, datasets={**state.datasets, **_publish_folders(store, changed, state.catalogue, version)})
    _move(store.draft_folder / REPORT, folder / REPORT)
    write_text(folder / INDEX, dump_json(state.to_dict()))
    return state


def _publish_folders(
    store: Store, changed: Mapping[str, DatasetEntry], catalogue_sha256: str, version: str
) -> dict[str, DatasetEntry]:
    """Put the folders of the changed datasets in their places, for this version; returns their entries."""
    if not changed:
        return {}
    # Where nothing changed, neither is needed.
    from opendata_pkg.citation import of_tree, to_cff  # noqa: PLC0415
    from opendata_pkg.dataset.descriptor import released_descriptor  # noqa: PLC0415

    catalogue = store.read_catalogue(catalogue_sha256)
    datasets: dict[str, DatasetEntry] = {}
    written: list[Path] = []
    for path, entry in changed.items():
        target = store.path / entry.artefacts
        _move(store.draft_folder / entry.name, target)
        document = json.loads((target / "datapackage.json").read_bytes())
        if "version" not in document:
            released = released_descriptor(document, version=version, created=_date(entry))
            write_text(target / "datapackage.json", dump_json(released), sync=False)
        branch = catalogue.branches[entry.branch]
        sha256 = hashlib.sha256((target / "datapackage.json").read_bytes()).hexdigest()
        datasets[path] = replace(entry, descriptor=sha256)
        cited = of_tree(branch, digest=entry.written.digest, version=version, date=_date(entry)[:10])
        write_text(target / "CITATION.cff", to_cff(cited), sync=False)
        written += [target / "datapackage.json", target / "CITATION.cff"]
    sync_all(written)
    return datasets


def _move(source: Path, target: Path) -> None:
    """Put a draft's file or folder in its place, unless an interrupted release has done so already."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _changing(draft: State, latest: State | None) -> list[tuple[DatasetEntry, Heads]]:
    """The datasets of which something is to be published, and where they stood in the last release.

    The root is tagged in every release: it is what people check out by version.
    """
    before = {} if latest is None else {entry.dataset_id: _heads(entry) for entry in latest.datasets.values()}
    found = [(entry, before.get(entry.dataset_id, (None, None))) for entry in draft.datasets.values()]
    return [(entry, old) for entry, old in found if old != _heads(entry) or entry.branch == ""]


def _heads(entry: DatasetEntry) -> tuple[ObjectId, ObjectId]:
    return entry.written.commits.main, entry.written.commits.annex


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packs:
    """Packs of which is known what they are: those bound by the last release, and those that builds have written since.

    `before` has none of a repository of which nothing was bound; `released` are the datasets that there were.
    """

    before: PackList
    written: PackList
    released: frozenset[str]

    @classmethod
    def of(cls, store: Store, latest: State | None) -> _Packs:
        try:
            before = store.packs() or {}
        except InputError:
            # It is not what was released: all is read again.
            before = {}
        released = frozenset(entry.dataset_id for entry in (latest.datasets.values() if latest else ()))
        return cls(before=before, written=store.draft_packs(), released=released)

    def of_entry(self, entry: DatasetEntry) -> tuple[BoundPacks | None, BoundPacks]:
        """As `bind_packs` takes them."""
        before = self.before.get(entry.name) if entry.dataset_id in self.released else {}
        return before, self.written.get(entry.name, {})


def _check_draft(store: Store, entry: DatasetEntry, old: Heads, version: str, known: _Packs) -> None:
    """Whether a dataset can be published: nobody has moved what is to advance, and all that was built is there.

    An interrupted release has done some of it already.
    """
    repository, heads = store.repository(entry.name), _heads(entry)
    if old != heads:
        # `_publish` moves the git-annex branch first.
        check_heads(repository, old, (old[0], heads[1]), heads)
        before, written = known.of_entry(entry)
        check_packs(repository.path, heads, before=before, written=written)
    check_tag(repository, version, repository.loose_object(b"tag", _tag(entry, version))[0])
    folders = store.draft_folder / entry.name, store.path / "releases" / version / entry.name
    for name in ("datapackage.json", "registry.txt") if entry.changed else ():
        if not any((folder / name).exists() for folder in folders):
            raise BrokenStoreError(
                f"expected {folders[0] / name}, which was built, found none: nothing was released; build again"
            )


def _advance_refs(store: Store, changing: Sequence[DatasetEntry], version: str, count: int, reporter: Reporter) -> None:
    """Move the branches of datasets, of `count` in all."""
    reporter.start("publishing datasets", count, "datasets")
    levels: dict[int, list[DatasetEntry]] = {}
    for entry in changing:
        levels.setdefault(entry.branch.count("/") + bool(entry.branch), []).append(entry)
    reporter.advance(count - len(changing))
    # Children first: a branch is deeper than those that it is in.
    for _, entries in sorted(levels.items(), reverse=True):
        _publish(store, entries, version)
        for entry in entries:
            _clear_up(store.repository(entry.name), version)
            reporter.advance()
    reporter.finish()


def _bind_packs(store: Store, state: State, known: _Packs) -> PackList:
    """What readers are offered of each repository, by which they need not trust a server; see `bind_packs`."""

    def bind(entry: DatasetEntry) -> BoundPacks | None:
        before, written = known.of_entry(entry)
        try:
            return bind_packs(store.repository(entry.name).path, _heads(entry), before=before, written=written)
        except (OSError, BrokenRepositoryError):
            # What did not change need not be there to be read.
            return before

    return {entry.name: packs for entry in state.datasets.values() if (packs := bind(entry)) is not None}


def _tag(entry: DatasetEntry, version: str) -> bytes:
    commits = entry.written.commits
    return tag_body(commit=commits.main, name=version, time=commits.time)


def _publish(store: Store, entries: Sequence[DatasetEntry], version: str) -> None:
    """Move the branches of datasets to their drafts, and tag them; for all, the disk is waited for once."""
    files: dict[Path, bytes] = {}
    for entry in entries:
        repository, commits = store.repository(entry.name), entry.written.commits
        body = _tag(entry, version)
        tag, of_tag = repository.loose_object(b"tag", body)
        refs = {f"refs/tags/{version}": tag, ANNEX: commits.annex, MAIN: commits.main}
        if (of_refs := repository.ref_files(refs)) is None:
            repository.write_loose(b"tag", body)
            repository.update_refs(refs)
        else:
            files |= of_tag | of_refs
    replace_all(files)


def _clear_up(repository: Repository, version: str) -> None:
    """Remove what was the draft's, keep packs few, and tell clients over dumb HTTP."""
    repository.delete_refs(DRAFT_MAIN, DRAFT_ANNEX)
    put_packs_together(repository.path, version)
    refresh_server_info(repository.path)
