"""A store made of a real bucket, and the stock tools that judge it: git, git-annex and DataLad, as a person has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import shipped_catalogue
from opendata_pkg.digests.checksums import ChecksumCache
from opendata_pkg.scan.hashing import hash_snapshot
from opendata_pkg.scan.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opendata_pkg.demo.server import S3Server

FIRST, SECOND = "2026.1.0", "2026.1.1"
CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
DENSITY = "Experimental_Data/Neuron_density"
IGNORED = "staging/later.swc"

# Real S3 keys that some tool may take for something else: options, globs, queries, quotes, escapes, other encodings.
ODD_NAMES = (
    "sp ace  twice.swc",
    "plus+and=equals&amp.swc",
    "per%cent%41%2F.swc",
    "quo'te\"d`$HOME`.swc",
    "größe 日本 🧠.swc",
    "hash#tag?query;semi,colon:.swc",
    "[brackets]{and}*stars!.swc",
    "-rf",
    "~tilde^caret|pipe<less>more",
    ".hidden.nii.gz",
    "no extension",
    "deep/er/and/deeper/x.NWB",
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A bucket and the store that was made of it.

    `first` and `second` are what the bucket held, key → bytes, when the two versions were released; `earlier` is a copy
    of the store as it was between them.
    """

    server: S3Server
    bucket: str
    store: Path
    work: Path
    earlier: Path | None = None
    first: Mapping[str, bytes] = field(default_factory=dict)
    second: Mapping[str, bytes] = field(default_factory=dict)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Upload objects, key → bytes."""
        client = self.server.client()
        for key, body in objects.items():
            client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def delete(self, *keys: str) -> None:
        """Delete objects."""
        client = self.server.client()
        for key in keys:
            client.delete_object(Bucket=self.bucket, Key=key)

    def publish(self, version: str, *, etag_is_md5: bool = False, hashed: bool = True) -> None:
        """Scan, build and release the bucket as it is now; with SHA-256 of all objects, unless not `hashed`."""
        snapshot = scan(f"s3://{self.bucket}", endpoint_url=self.server.endpoint_url, etag_is_md5=etag_is_md5)
        if hashed:
            with ChecksumCache.open(self.work / "checksums") as cache:
                outcome = hash_snapshot(snapshot, cache=cache)
            outcome.check_complete()
            snapshot = outcome.snapshot
        build(snapshot, shipped_catalogue(), self.store, allow_undigested=None if hashed else "**")
        release(version, self.store)

    def repository(self, name: str = "openbluebrain") -> Path:
        """The bare repository of a dataset."""
        return self.store / "git" / f"{name}.git"

    def datasets(self, version: str) -> dict[str, dict[str, Any]]:
        """What the store says of the datasets of a release, by branch."""
        index = json.loads((self.store / "releases" / version / "index.json").read_bytes())
        entries: dict[str, dict[str, Any]] = index["datasets"]
        return entries


@pytest.fixture(scope="session")
def make_bucket(s3_server: S3Server) -> Callable[..., Published]:
    """Make an empty public bucket, and a place in `folder` for its store."""

    def make(folder: Path, name: str, *, versioned: bool) -> Published:
        s3_server.make_bucket(name, versioned=versioned)
        return Published(server=s3_server, bucket=name, store=folder / "store", work=folder)

    return make


def first_state() -> dict[str, bytes]:
    """What the bucket holds first."""
    names = {
        "plain.swc": b"1 1 0 0 0 1 -1\n",
        "gone.swc": b"will be deleted\n",
        "steady.swc": b"never changes\n",
        "twin of steady.swc": b"never changes\n",
        "empty.swc": b"",
        "notes": b"an object with the name of a folder\n",
        "notes/inner.txt": b"an object in the folder\n",
    }
    names |= {name: f"the bytes of {name}\n".encode() for name in ODD_NAMES}
    objects = {f"{CORTEX}/{name}": body for name, body in names.items()}
    return objects | {
        "at the root.txt": b"belongs to no branch\n",
        IGNORED: b"the catalogue ignores this\n",
        f"{DENSITY}/README.md": b"# The bucket's own\n",
        f"{DENSITY}/density.csv": b"region,density\nVISp,1\n",
    }


@pytest.fixture(scope="session")
def published(make_bucket: Callable[..., Published], tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A versioned bucket with two released states: one object overwritten, one deleted, one added in between."""
    made = make_bucket(tmp_path_factory.mktemp("published"), "stock-versioned", versioned=True)
    first = first_state()
    made.put(first)
    made.publish(FIRST)
    earlier = shutil.copytree(made.store, made.work / "earlier")
    changes = {f"{CORTEX}/plain.swc": b"1 1 9 9 9 1 -1\n", f"{CORTEX}/new.swc": b"was not there before\n"}
    made.put(changes)
    made.delete(f"{CORTEX}/gone.swc")
    made.publish(SECOND)
    second = {key: body for key, body in (first | changes).items() if key != f"{CORTEX}/gone.swc"}
    return replace(made, first=first, second=second, earlier=earlier)


def run_tool(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None, status: int
) -> subprocess.CompletedProcess[str]:
    """Run a tool; ends the test if its exit status is another than `status`."""
    done = subprocess.run(
        [*map(str, words)],
        capture_output=True,
        check=False,
        cwd=cwd,
        encoding="utf-8",
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != status:
        shown = " ".join(map(str, words))
        pytest.fail(f"{shown} ended with {done.returncode}, not {status}:\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def tool() -> Callable[..., str]:
    """Run a stock tool and get its stdout: `tool("git", "log", cwd=clone)`. Ends the test unless it ends well.

    `env` is added to the environment; `status` is the exit status that is expected, if it is not 0.
    """

    def run(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, status: int = 0) -> str:
        return run_tool(*words, cwd=cwd, env=env, status=status).stdout

    return run


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Run a stock tool that must refuse, by default with status 1, and get what it says on stderr."""

    def run(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, status: int = 1) -> str:
        return run_tool(*words, cwd=cwd, env=env, status=status).stderr

    return run


@pytest.fixture(scope="session")
def fsck() -> Callable[[Path], None]:
    """Let git check a repository strictly; ends the test at the slightest remark."""

    def run(repository: Path) -> None:
        done = run_tool("git", "fsck", "--strict", "--no-progress", "--no-dangling", cwd=repository, env=None, status=0)
        assert (done.stdout, done.stderr) == ("", "")

    return run


@pytest.fixture(scope="session")
def identity() -> dict[str, str]:
    """Somebody to commit as, for the environment of a fixture's tools; a test takes `git_identity` instead."""
    return {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "A Scientist"), ("EMAIL", "scientist@example.org"))
    }


# In one process: each start of frictionless takes seconds.
_FRICTIONLESS = """
import json, sys
from frictionless import validate

print(json.dumps([(path, validate(path).to_descriptor()) for path in sys.argv[1:]]))
"""


@pytest.fixture(scope="session")
def frictionless() -> Callable[[Iterable[Path]], list[tuple[str, Any]]]:
    """Let frictionless, as it is, validate descriptors and the tables that they name: (path, its report) of the bad."""

    def run(descriptors: Iterable[Path]) -> list[tuple[str, Any]]:
        paths = sorted(map(str, descriptors))
        assert paths
        command = [sys.executable, "-W", "ignore", "-c", _FRICTIONLESS, *paths]
        reports = json.loads(run_tool(*command, cwd=Path(paths[0]).parent, env=None, status=0).stdout)
        assert [path for path, _ in reports] == paths
        # A report without a task has looked at nothing.
        return [(path, report) for path, report in reports if not report["valid"] or not report["tasks"]]

    return run
