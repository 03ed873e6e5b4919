"""A store against itself: everything that `index.json` binds, directly or by way of what it binds. Nothing is written.

index → release indexes → descriptors → inventories; index → snapshots and catalogues; release indexes → commits and
tags → every object of git; index → the last list of packs → every pack. `opendata_pkg.verification.rebuild` makes all
of it again.
"""

from __future__ import annotations

import csv
import hashlib
import json
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opendata_pkg.citation import of_tree, to_cff
from opendata_pkg.dataset.descriptor import README_RESOURCE, SCHEMA_PATH
from opendata_pkg.dataset.registry import registry_line
from opendata_pkg.digests.file_checks import Subject, check_files
from opendata_pkg.digests.file_digests import DEFAULT_JOBS
from opendata_pkg.digests.findings import Finding, Status, Tally, Verification
from opendata_pkg.git.objects import hex_id, object_id, tag_body
from opendata_pkg.git.repository import BrokenRepositoryError, GitError
from opendata_pkg.model import InputError, NotFoundError, ObjectKey, VersionId, best_digest
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.store.published import INDEX
from opendata_pkg.store.store import ANNEX, MAIN, REPORT, Store
from opendata_pkg.text import counted, unescape_line
from opendata_pkg.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.model import ObjectId
    from opendata_pkg.store.state import DatasetEntry, State

ITSELF = "its own index"
_DRAFTS = "refs/opendata/"
# So many lines of git fsck are told of each repository.
_SAID = 3
# So many repositories are named in a note.
_SHOWN = 5


def verify_store(path: Path, *, jobs: int = DEFAULT_JOBS, reporter: Reporter = SILENT) -> Verification:
    """Check the documents, inputs, artefacts and repositories of a store on this machine.

    Raises:
        NotFoundError, InputError: there is no store, or its `index.json` cannot be read.
    """
    check = StoreCheck(Store.open(path), jobs=jobs, reporter=reporter)
    check.run()
    return check.result()


class StoreCheck:
    """One check of a store. `states` are the releases that could be read, oldest first; `inputs` is whether all could.

    `tally` counts things by their paths in the store; a ref is `git/<name>.git REF`.
    """

    def __init__(self, store: Store, *, jobs: int, reporter: Reporter) -> None:
        self.store, self.tally, self.inputs = store, Tally(), True
        self.states: list[State] = []
        self._jobs, self._reporter = jobs, reporter
        self._notes: list[str] = []
        self._known: set[str] = {INDEX, ".lock", "draft"}
        # Folders of which nobody can say what should be in them.
        self._unjudged: set[str] = set()
        self._refs_known = True

    def run(self) -> None:
        """Look at everything."""
        self._releases()
        addresses, catalogues = self._snapshots(), self._catalogues()
        if not self._refs_known:
            self._notes.append("git's refs were not compared: not every release says any more where they should be")
        unfinished = self.store.unfinished_release()
        if unfinished is not None:
            self._notes.append(f"the release of {unfinished} was interrupted: run opendata release {unfinished} again")
        elif self.store.has_draft():
            self._notes.append("the draft of the next release was not looked at")
        for state in self.states:
            catalogue, base_url = catalogues.get(state.catalogue), addresses.get(state.snapshot)
            for entry in state.datasets.values():
                if entry.changed:
                    self._artefacts(state, entry, catalogue, base_url)
            self._present(f"releases/{state.version}/{REPORT}")
        self._pack_lists()
        self._repositories(self.store.draft() if unfinished is not None else None)
        self._extra(unfinished)

    def result(self) -> Verification:
        """What was found."""
        return self.tally.result(target=str(self.store.path), against=ITSELF, notes=self._notes)

    def _good(self, path: str) -> None:
        self._known.add(path)
        file = self.store.path / path
        self.tally.good(file.stat().st_size if file.is_file() else 0)

    def _bad(self, path: str, note: str, status: Status = Status.CHANGED, **values: str | None) -> None:
        self._known.add(path)
        self.tally.add(Finding(status=status, path=path, note=note, **values))

    def _status(self, path: str) -> Status:
        return Status.CHANGED if (self.store.path / path).exists() else Status.MISSING

    def _present(self, path: str) -> None:
        if (self.store.path / path).is_file():
            self._good(path)
        else:
            self._bad(path, "it is not there", Status.MISSING)

    def _releases(self) -> None:
        for release in self.store.index()["releases"]:
            path = release["index"]
            try:
                state = self.store.release(release["version"])
            except InputError as error:
                self._bad(path, str(error), self._status(path), expected=f"sha256:{release['sha256']}")
                self._unread(release)
                continue
            self.states.append(state)
            said = {name: release[name] for name in ("snapshot", "catalogue", "commit")}
            root = state.datasets[""].written.commits.main
            bound = {"snapshot": state.snapshot, "catalogue": state.catalogue, "commit": root}
            other = next((name for name in said if said[name] != bound[name]), None)
            if other is None:
                self._good(path)
            else:
                note = f"its {other} is another than in {INDEX}"
                self._bad(path, note, expected=said[other], found=bound[other])

    def _unread(self, release: dict[str, Any]) -> None:
        """Note what nobody can judge without a release's index."""
        self.inputs = self._refs_known = False
        self._unjudged.add(f"releases/{release['version']}/")
        self._known.add(f"catalogues/{release['catalogue']}.yaml")
        self._known |= {f"snapshots/{release['snapshot']}{suffix}" for suffix in (".parquet", ".json")}

    def _pack_lists(self) -> None:
        """Check the lists of packs, and the packs of the last one: earlier packs may be gone."""
        lists = [release.get("packs") for release in self.store.index()["releases"]]
        digests = {bound["path"]: f"sha256:{bound['sha256']}" for bound in lists if bound is not None}
        good = {path: self._has_digest(path, digest) for path, digest in digests.items()}
        if not lists or lists[-1] is None or not good[lists[-1]["path"]]:
            return
        subjects: list[Subject] = []
        repacked: list[str] = []
        for name, packs in (self.store.packs() or {}).items():
            folder = self.store.repository(name).path / "objects" / "pack"
            if not all((folder / f"{pack}.pack").exists() for pack in packs):
                repacked.append(name)
                continue
            subjects += [
                Subject(
                    name=(folder / f"{pack}{suffix}").relative_to(self.store.path).as_posix(),
                    file=folder / f"{pack}{suffix}",
                    size_bytes=file.size_bytes,
                    digest=f"sha256:{file.sha256}",
                )
                for pack, bound in packs.items()
                for suffix, file in bound.files.items()
            ]
        self._all_good(subjects)
        if repacked:
            shown = ", ".join(f"git/{name}.git" for name in repacked[:_SHOWN])
            more = f" and {len(repacked) - _SHOWN} more" if len(repacked) > _SHOWN else ""
            self._notes.append(
                f"packed anew since the last release: {shown}{more}; until the next one, clones of them over the web "
                "take longer"
            )

    def _snapshots(self) -> dict[str, str]:
        """Check every snapshot by its id; id → where its objects are."""
        addresses = {}
        for wanted in dict.fromkeys(state.snapshot for state in self.states):
            path = self.store.snapshot_path(wanted)
            name = path.relative_to(self.store.path).as_posix()
            self._known.add(name.removesuffix(".parquet") + ".json")
            try:
                found = self.store.read_snapshot(wanted)
            except (NotFoundError, InputError) as error:
                self._bad(name, str(error), self._status(name), expected=wanted)
            else:
                addresses[wanted] = found.header.base_url or ""
                if found.id == wanted:
                    self._good(name)
                    continue
                self._bad(name, "it is another snapshot than the one released", expected=wanted, found=found.id)
            self.inputs = False
        return addresses

    def _catalogues(self) -> dict[str, Catalogue]:
        found = {}
        for wanted in dict.fromkeys(state.catalogue for state in self.states):
            name = f"catalogues/{wanted}.yaml"
            try:
                found[wanted] = self.store.read_catalogue(wanted)
            except (NotFoundError, InputError) as error:
                self._bad(name, str(error), self._status(name), expected=f"sha256:{wanted}")
            else:
                self._good(name)
                continue
            self.inputs = False
        return found

    def _artefacts(self, state: State, entry: DatasetEntry, catalogue: Catalogue | None, base_url: str | None) -> None:
        """Everything in a dataset's folder of the release in which it changed."""
        folder = entry.artefacts
        self._unjudged.add(folder)
        path = f"{folder}datapackage.json"
        if not self._has_digest(path, f"sha256:{entry.descriptor}"):
            return
        resources = json.loads((self.store.path / path).read_bytes())["resources"]
        shards = [resource for resource in resources if "hash" in resource]
        whole = self._shards(folder, shards)
        if whole and base_url is not None:
            self._same(f"{folder}registry.txt", _registry(self.store.path / folder, shards, base_url))
        if catalogue is not None:
            date = format_time(datetime.fromtimestamp(entry.written.commits.time, UTC))[:10]
            branch = catalogue.branches[entry.branch]
            cited = of_tree(branch, digest=entry.written.digest, version=state.version, date=date)
            self._same(f"{folder}CITATION.cff", iter([to_cff(cited).encode()]))
        in_git = {SCHEMA_PATH.removeprefix("_opendata/"): SCHEMA_PATH} if shards else {}
        if README_RESOURCE in resources:
            in_git["README.md"] = "README.md"
        names = [f"{entry.written.commits.main}:{name}".encode() for name in in_git.values()]
        try:
            bodies = list(self.store.repository(entry.name).read_objects(names))
        except (BrokenRepositoryError, FileNotFoundError):
            # Told with the repository.
            return
        for name, body in zip(in_git, bodies, strict=True):
            self._same(folder + name, iter([body]))
        if whole and catalogue is not None and base_url is not None:
            self._unjudged.discard(folder)

    def _shards(self, folder: str, shards: list[dict[str, Any]]) -> bool:
        """Whether all shards of an inventory have the digests that the descriptor says."""
        subjects = [
            Subject(
                name=folder + shard["path"],
                file=self.store.path / folder / shard["path"],
                size_bytes=shard["bytes"],
                digest=shard["hash"],
            )
            for shard in shards
        ]
        return self._all_good(subjects)

    def _all_good(self, subjects: Sequence[Subject]) -> bool:
        """Check files, and say whether all are as they should be."""
        whole = True
        for checked in check_files(subjects, jobs=self._jobs):
            self._known.add(checked.subject.name)
            self.tally.read_bytes += checked.read_bytes
            if checked.finding is None:
                self.tally.good(checked.size_bytes)
            else:
                whole = False
                self.tally.add(checked.finding)
        return whole

    def _same(self, path: str, wanted: Iterator[bytes]) -> None:
        """Check that a file's content is what it can be made of again."""
        digest = hashlib.sha256()
        for data in wanted:
            digest.update(data)
        self._has_digest(path, f"sha256:{digest.hexdigest()}")

    def _has_digest(self, path: str, expected: str) -> bool:
        """Check one file, and say whether it is as it should be."""
        subject = Subject(name=path, file=self.store.path / path, size_bytes=None, digest=expected)
        return self._all_good([subject])

    def _repositories(self, unfinished: State | None) -> None:
        wanted = _expected_refs(self.states)
        allowed = {} if unfinished is None else _expected_refs([*self.states, unfinished])
        self._reporter.start("git fsck", len(wanted), "repositories")

        def look(name: str) -> tuple[tuple[str, ...], dict[str, ObjectId]]:
            repository = self.store.repository(name)
            try:
                return repository.faults(), repository.refs()
            except (GitError, BrokenRepositoryError, FileNotFoundError, NotADirectoryError) as error:
                return (str(error),), {}

        with closing(map_unordered(look, [*wanted], jobs=self._jobs)) as done:
            for name, (faults, refs) in done:
                self._repository(name, faults, refs, (wanted[name], allowed.get(name, {})))
                self._reporter.advance()
        self._reporter.finish()

    def _repository(
        self,
        name: str,
        faults: tuple[str, ...],
        refs: dict[str, ObjectId],
        expected: tuple[dict[str, ObjectId], dict[str, ObjectId]],
    ) -> None:
        path = f"git/{name}.git"
        self._known.add(path)
        if not (self.store.path / path).is_dir():
            self._bad(path, "the repository is not there", Status.MISSING)
            return
        if faults:
            # One thing is wrong, however much git says of it: things are counted.
            more = f"; and {counted(len(faults) - _SAID, 'more line')}" if len(faults) > _SAID else ""
            self._bad(path, f"git fsck: {'; '.join(' '.join(line.split()) for line in faults[:_SAID])}{more}")
        else:
            self.tally.good(0)
        if self._refs_known:
            self._refs(path, refs, *expected)

    def _refs(
        self, path: str, refs: dict[str, ObjectId], wanted: dict[str, ObjectId], allowed: dict[str, ObjectId]
    ) -> None:
        """Whether refs are as released, or `allowed` by a release that is being made; and what the web is told."""
        served = _served_refs(self.store.path / path)
        for ref, commit in wanted.items():
            now = refs.get(ref)
            if now is None:
                self._bad(f"{path} {ref}", "the ref is not there", Status.MISSING, expected=commit)
            elif now not in {commit, allowed.get(ref)}:
                self._bad(f"{path} {ref}", f"it is at {now}, released was {commit}", expected=commit, found=now)
            elif served.get(ref) != now:
                note = "info/refs, which web clients read, has another commit: run git update-server-info there"
                self._bad(f"{path} {ref}", note, expected=now, found=served.get(ref))
            else:
                self.tally.good(0)
        for ref in sorted(refs.keys() - wanted.keys() - allowed.keys()):
            if not ref.startswith(_DRAFTS):
                self._bad(f"{path} {ref}", "no release has this ref", Status.EXTRA, found=refs[ref])

    def _extra(self, unfinished: str | None) -> None:
        """Name what no release knows of: harmless, but somebody may wonder."""
        root = self.store.path
        found = [path for path in root.iterdir() if path.name not in {"git", "snapshots", "catalogues", "releases"}]
        for name in ("git", "snapshots", "catalogues") if self._refs_known else ("snapshots", "catalogues"):
            found += (root / name).iterdir() if (root / name).is_dir() else ()
        for folder in (root / "releases").glob("*/"):
            if folder.name != unfinished:
                found += [path for path in folder.rglob("*") if not path.is_dir()]
        for file in found:
            path = file.relative_to(root).as_posix()
            if path not in self._known and not path.startswith(tuple(self._unjudged)):
                self.tally.add(Finding(status=Status.EXTRA, path=path, note="no release knows of it"))


def _expected_refs(states: list[State]) -> dict[str, dict[str, ObjectId]]:
    """Where every ref of every repository should be after these releases, by the dataset's name."""
    refs: dict[str, dict[str, ObjectId]] = {}
    before: dict[str, tuple[ObjectId, ObjectId]] = {}
    for state in states:
        for entry in state.datasets.values():
            commits = entry.written.commits
            heads = commits.main, commits.annex
            # The root is tagged in every release, the others in those that changed them.
            if before.get(entry.dataset_id) != heads or entry.branch == "":
                known = refs.setdefault(entry.name, {})
                known |= {MAIN: commits.main, ANNEX: commits.annex}
                if state.version is not None:
                    tag = tag_body(commit=commits.main, name=state.version, time=commits.time)
                    known[f"refs/tags/{state.version}"] = hex_id(object_id(b"tag", tag))
            before[entry.dataset_id] = heads
    return refs


def _served_refs(repository: Path) -> dict[str, str]:
    """What `info/refs` tells clients over dumb HTTP: "OBJECT TAB REF LF"."""
    try:
        lines = (repository / "info" / "refs").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {ref: name for name, _, ref in (line.partition("\t") for line in lines)}


def _registry(folder: Path, shards: list[dict[str, Any]], base_url: str) -> Iterator[bytes]:
    """The lines of a registry, as the inventory has its files."""
    for shard in shards:
        with (folder / shard["path"]).open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                version_id = VersionId(row["version_id"]) if row["version_id"] else None
                url = object_url(base_url, ObjectKey(unescape_line(row["key"])), version_id)
                digest = best_digest(row["sha256"] or None, row["md5"] or None)
                if (line := registry_line(row["path"], digest, url)) is not None:
                    yield line.encode()
