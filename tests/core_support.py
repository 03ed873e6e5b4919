"""Tiny catalogues, objects, snapshots and stores, and git asked directly: what the tests of the core have in common."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from opendata_pkg import annex
from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.cli.main import app
from opendata_pkg.documents import dump_json
from opendata_pkg.model import Md5, ObjectKey, S3Object, Sha256, VersionId
from opendata_pkg.plan.files import Tree, in_path_order, settle
from opendata_pkg.snapshot.canonical import ID_COLUMNS
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.store import Store

BASE = "http://127.0.0.1:9/bucket/"
"""Where nothing listens: the core never fetches."""

DAY_ZERO = datetime(2024, 1, 1, tzinfo=UTC)

TREE = """\
branches:
  Rat:
    title: Rats
    branches:
      Cortex: {title: Rat cortex}
      Deep/Layer: {title: A branch two folders down}
  Mouse: {title: Mice}
ignore:
  - {prefix: tmp/, reason: scratch}
"""
"""Five branches with the root; `Rat` and its children are nested, `Mouse` stands alone."""


def catalogue_of(text=TREE, *, identity="example"):
    """A catalogue from a few lines of YAML, after those that each must have."""
    head = f'format: 1\nid: {identity}\ntitle: An example\nepoch: "2024-01-01T00:00:00Z"\n'
    return Catalogue.parse((head + text).encode(), "catalogue.yaml")


def digest_of(content):
    """The SHA-256 of a text, as a snapshot has it."""
    return Sha256(hashlib.sha256(content.encode()).hexdigest())


def entry_of(key, content="x", *, version=None, day=0, known="sha256", **values):
    """An object holding `content`; `known` is the digest that is known of it: sha256, md5, both or none."""
    fields = {
        "key": ObjectKey(key),
        "version_id": None if version is None else VersionId(version),
        "size_bytes": len(content.encode()),
        "last_modified": DAY_ZERO + timedelta(days=day),
    }
    if known in {"sha256", "both"}:
        fields["sha256"] = digest_of(content)
    if known in {"md5", "both"}:
        fields["md5"] = Md5(hashlib.md5(content.encode(), usedforsecurity=False).hexdigest())
    return S3Object(**fields | values)


def snapshot_of(*entries, **values):
    """A snapshot of objects, or of keys, whose content is then the key itself."""
    fields = {"source": "s3://bucket", "method": "ListObjectsV2", "base_url": BASE, "bucket": "bucket"}
    objects = [entry_of(entry, entry) if isinstance(entry, str) else entry for entry in entries]
    return Snapshot.from_objects(objects, SnapshotHeader(**fields | values))


def publish(store, version, snapshot, catalogue=None, **options):
    """Build and release in one go; returns both results."""
    built = build(snapshot, catalogue or catalogue_of(), store, **options)
    return built, release(version, store)


def dataset(store, branch="", version=None):
    """The entry of a branch in a release of a store, the last one by default."""
    opened = Store.open(store)
    state = opened.latest() if version is None else opened.release(version)
    return state.datasets[branch]


def git(folder, *words, data=b""):
    """What git prints, run in a repository; fails the test if git does."""
    done = subprocess.run(["git", *words], cwd=folder, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (words, done.stderr.decode())
    return done.stdout


def git_text(folder, *words):
    """What git prints, as one text without the last line end."""
    return git(folder, *words).decode().rstrip("\n")


def repository_of(store, name="example"):
    """The folder of a dataset's repository."""
    return Path(store) / "git" / f"{name}.git"


def paths_in(folder, commit="main"):
    """Every path of a commit, with its mode: `120000` is an annexed file."""
    listing = git(folder, "ls-tree", "-r", "-z", "--full-tree", commit).decode()
    lines = [line.split("\t", 1) for line in listing.split("\0") if line]
    return {path: meta.split(" ")[0] for meta, path in lines}


def annexed_paths(folder, commit="main"):
    """The paths of a commit's annexed files."""
    return {path for path, mode in paths_in(folder, commit).items() if mode == "120000"}


def packs_on_disk(store):
    """The packs that readers over the web are told of, as a release binds them."""

    def digest(path):
        data = path.read_bytes()
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    found = {}
    for repository in sorted((Path(store) / "git").glob("*.git")):
        lines = (repository / "objects/info/packs").read_text().splitlines()
        names = sorted(line.removeprefix("P ") for line in lines if line)
        packs = [repository / "objects" / "pack" / name for name in names]
        found[repository.stem] = {
            path.stem: {"pack": digest(path), "idx": digest(path.with_suffix(".idx"))} for path in packs
        }
    return found


def bound_packs(store):
    """The packs that the last release binds, by the digest of their list."""
    packs = json.loads((Path(store) / "index.json").read_bytes())["releases"][-1]["packs"]
    data = (Path(store) / packs["path"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == packs["sha256"]
    return json.loads(data)["repositories"]


def every_ref(store, *, drafts=True):
    """`name.git ref id` of every repository of a store."""
    return [
        f"{repository.name} {line}"
        for repository in sorted((Path(store) / "git").glob("*.git"))
        for line in git_text(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        if drafts or not line.startswith("refs/opendata/")
    ]


def web_log(store, name, key_stem, commit="git-annex"):
    """The lines of a key's URL log."""
    return git_text(repository_of(store, name), "cat-file", "blob", f"{commit}:{key_stem}.log.web").splitlines()


def opendata(*words):
    """Run the command in this process: (exit status, stdout, stderr)."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def temporary_files(store):
    """What a writer that was stopped may have left behind: half-written files under temporary names."""
    return [path for path in Path(store).rglob("*") if path.name.endswith(".part") or path.name.startswith("tmp_")]


def published(store):
    """All that is promised to be the same for the same releases, path → bytes.

    Everything that readers see but packs and what tells of them, and Parquet's bytes.
    """
    found = {}
    for path in sorted(Path(store).rglob("*")):
        relative = path.relative_to(store)
        hidden = relative.parts[0] in {"draft", ".lock"} or "objects" in relative.parts or "opendata" in relative.parts
        hidden = hidden or path.name == "packs.json" or path.name.endswith(".part") or path.suffix == ".parquet"
        if path.is_file() and not hidden:
            found[str(relative)] = path.read_bytes()
    if "index.json" in found:
        index = json.loads(found["index.json"])
        for release_entry in index["releases"]:
            release_entry.pop("packs", None)
        found["index.json"] = dump_json(index).encode()
    return found


def write_inputs(folder, snapshot, catalogue=None):
    """The files that a steward has: a snapshot and a catalogue; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    snapshot.write(folder / "snapshot.parquet")
    (folder / "catalogue.yaml").write_bytes((catalogue or catalogue_of()).source_bytes)
    return folder / "snapshot.parquet", folder / "catalogue.yaml"


def snapshot_files(snapshot, catalogue):
    """All of a snapshot's objects as files."""
    tree = Tree(base_url=snapshot.header.base_url, catalogue=catalogue)
    return in_path_order(tree.files(settled) for settled in settle(snapshot.batches(ID_COLUMNS)))


def link_of(key, path):
    """Where the symlink of a locked file points."""
    return "../" * path.count("/") + f".git/annex/objects/{annex.object_path(key)}"
