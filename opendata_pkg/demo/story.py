"""The story of the demo: a bucket becomes datasets, a reader gets the bytes, the bucket changes, the old bytes stay.

Every step really runs, as commands in processes of their own, and what comes out is compared with what went in.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.demo.compare import compare_clone
from opendata_pkg.demo.folder import CLONE, HOME, POOCH, SERVER, SNAPSHOTS, STORE, prepare_folder, remove_made
from opendata_pkg.demo.readers import look_and_take, pin_and_restore
from opendata_pkg.demo.samples import IGNORED_PREFIX, WHEELS, Samples, fetch_wheels, load_samples
from opendata_pkg.demo.scene import BUCKET, CORTEX, DELETED, FIRST, OVERWRITTEN, PATCH_CLAMP, PLAIN, SECOND, Scene
from opendata_pkg.demo.server import S3Server
from opendata_pkg.demo.stage import Stage, demo_environment, terminate_as_interrupt
from opendata_pkg.git.person import NO_PROTOCOLS, knows_protocols
from opendata_pkg.model import MismatchError, NotFoundError, ObjectKey
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_ROOT = "."
_PROGRAMS = ("git", "git-annex", "datalad")

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A Scientist",
    "GIT_AUTHOR_EMAIL": "scientist@example.org",
    "GIT_COMMITTER_NAME": "A Scientist",
    "GIT_COMMITTER_EMAIL": "scientist@example.org",
}
_ALLOW_LOOPBACK = ("config", "annex.security.allowed-ip-addresses", "127.0.0.1")

_POOCH_SCRIPT = """
import pooch
files = pooch.create(path={folder}, base_url="")
files.load_registry({registry})
print(files.fetch({name}))
"""


class MissingProgramError(NotFoundError):
    """A stock tool that the demo shows is not installed."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"the demo runs {', '.join(names)}, not found beside Python or on PATH; "
            "install git from your system, the others with: pip install git-annex datalad"
        )


class NoProtocolsError(NotFoundError):
    """The system lacks what git-annex needs to fetch anything."""


class DemoFailedError(MismatchError):
    """Some bytes or counts of the demo were not what they should be; `failed` are the checks' sentences."""

    def __init__(self, failed: list[str]) -> None:
        self.failed = tuple(failed)
        lines = "\n".join(f"  ✗ {sentence}" for sentence in failed)
        super().__init__(
            f"{counted(len(failed), 'check')} of the demo failed; please report them with the lines above:\n{lines}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What one release of the demo holds: counts over all datasets, and those of which changed since the one before."""

    version: str
    datasets: int
    files: int
    size_bytes: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The end of a demo that went well. `folder` is where everything is left; `checks` are the promises kept."""

    folder: Path
    store: Path
    clone: Path
    releases: tuple[Released, ...]
    checks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        releases = [
            {
                "version": release.version,
                "datasets": release.datasets,
                "files": release.files,
                "bytes": release.size_bytes,
                "added": release.added,
                "changed": release.changed,
                "removed": release.removed,
            }
            for release in self.releases
        ]
        return {
            "folder": str(self.folder),
            "store": str(self.store),
            "clone": str(self.clone),
            "releases": releases,
            "checks": list(self.checks),
        }


def tell(folder: Path, *, wheels_folder: Path, reporter: Reporter = SILENT) -> Summary:
    """Run the whole demo in `folder`; the sample wheels are kept in `wheels_folder`.

    `folder` must be absent, empty, or made by the demo before. Needs no network but the package index, and that only
    the first time. The S3 server is stopped whatever happens.

    Raises:
        ForeignFolderError: the folder holds other things.
        MissingProgramError, NoServerProgramError: a program that the demo runs is not installed.
        PipFailedError: the samples cannot be fetched.
        StepFailedError: a command failed.
        DemoFailedError: some bytes or counts are off.
    """
    stage = set_stage(folder, reporter)
    check_programs(_PROGRAMS, stage.environment["PATH"])
    stage.title("Real files: mouse neurons, ion channels, recordings, atlas volumes, circuits")
    samples = load_samples(fetch_wheels(wheels_folder, reporter=reporter))
    for wheel in WHEELS:
        stage.say(f"  {wheel.project} {wheel.version}, {wheel.licence}: {wheel.about}")
    stage.say("They stand in for the real bucket's; authors and licence in the datasets are the real catalogue's.")
    return perform(stage, samples, _all_parts)


def set_stage(folder: Path, reporter: Reporter = SILENT) -> Stage:
    """Make the folder ready, and a home in it of which the commands to come know nothing else."""
    folder = folder.resolve()
    prepare_folder(folder)
    return Stage(reporter=reporter, folder=folder, environment=demo_environment(folder / HOME))


def check_programs(names: Iterable[str], path: str) -> None:
    """Whether the programs are on the search path, and can work.

    Raises:
        MissingProgramError: names those that are not.
        NoProtocolsError: git-annex cannot work.
    """
    if missing := [name for name in names if shutil.which(name, path=path) is None]:
        raise MissingProgramError(missing)
    if not knows_protocols():
        raise NoProtocolsError(NO_PROTOCOLS)


def perform(stage: Stage, samples: Samples, parts: Callable[[Scene], tuple[Released, ...]]) -> Summary:
    """Run the parts of a story on a server of its own, which is stopped whatever happens."""
    folder = stage.folder
    with terminate_as_interrupt(), S3Server.start(folder / SERVER) as server:
        releases = parts(Scene(stage=stage, server=server, samples=samples))
    if stage.failed:
        raise DemoFailedError(stage.failed)
    remove_made(folder, HOME, SERVER)
    return Summary(
        folder=folder,
        store=folder / STORE,
        clone=folder / CLONE,
        releases=releases,
        checks=tuple(stage.passed),
    )


def _all_parts(scene: Scene) -> tuple[Released, ...]:
    stage = scene.stage
    _fill_bucket(scene)
    first = _publish(scene, FIRST, scene.samples.first)
    _clone_one_part(scene)
    stage.say("Now all of it:")
    _get_everything(scene, scene.samples.first)
    _edit_bucket(scene)
    second = _publish(scene, SECOND, scene.samples.second)
    _check_changes(scene, second)
    _update_clone(scene)
    _get_old_bytes(scene)
    _judge(scene)
    _fetch_with_pooch(scene)
    pin_and_restore(scene)
    look_and_take(scene)
    return first, second


def _fill_bucket(scene: Scene) -> None:
    stage, first = scene.stage, scene.samples.first
    stage.title(f"A bucket: SeaweedFS, an S3 server, on {scene.server.endpoint_url}")
    scene.server.make_bucket(BUCKET)
    _upload(scene, first)
    size = sum(map(len, first.values()))
    stage.say(
        f"  uploaded {counted(len(first), 'object')}, {counted(size, 'byte')}, to s3://{BUCKET} "
        "(versioned, readable by everybody)"
    )


def _upload(scene: Scene, objects: Mapping[ObjectKey, bytes]) -> None:
    client = scene.server.client()
    for key, body in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body)


def _publish(scene: Scene, version: str, state: Mapping[ObjectKey, bytes]) -> Released:
    stage = scene.stage
    snapshot = f"{SNAPSHOTS}/{version}.parquet"
    stage.title(f"The steward: scan, hash, build, release {version}")
    (stage.folder / SNAPSHOTS).mkdir(exist_ok=True)
    stage.opendata("scan", f"s3://{BUCKET}", "--endpoint-url", scene.server.endpoint_url, "--out", snapshot)
    stage.opendata("hash", snapshot)
    built = json.loads(stage.opendata("build", snapshot, "--store", STORE, "--json", lines=0))
    _show_datasets(stage, built)
    stage.opendata("release", version, "--store", STORE)

    kept, datasets = _kept(state), built["datasets"]
    released = Released(
        version=version,
        datasets=len(datasets),
        files=sum(dataset["files"] for dataset in datasets),
        size_bytes=sum(dataset["bytes"] for dataset in datasets),
        added=sum(dataset["added"] for dataset in datasets),
        changed=sum(dataset["changed"] for dataset in datasets),
        removed=sum(dataset["removed"] for dataset in datasets),
    )
    header = json.loads((stage.folder / snapshot).with_suffix(".json").read_bytes())
    fixed = sum(dataset["grades"].get("fixed", 0) for dataset in datasets)
    stage.check("the snapshot has every object of the bucket", expected=len(state), got=header["objects"])
    stage.check("every object is in a dataset, but for the ignored", expected=len(kept), got=released.files)
    stage.check("with all its bytes", expected=sum(map(len, kept.values())), got=released.size_bytes)
    stage.check("the ignored are reported", expected=len(state) - len(kept), got=sum(built["left_out"].values()))
    stage.check("every file has a digest and a versionId: grade `fixed`", expected=len(kept), got=fixed)
    return released


def _show_datasets(stage: Stage, built: Mapping[str, Any]) -> None:
    """Show a build's JSON as a table of the datasets whose own files differ from the last release's."""
    stage.say("     files      bytes  added changed removed  dataset")
    shown = [dataset for dataset in built["datasets"] if dataset["added"] or dataset["changed"] or dataset["removed"]]
    for dataset in shown:
        counts = (dataset["files"], dataset["bytes"], dataset["added"], dataset["changed"], dataset["removed"])
        stage.say("    {:6,} {:10,} {:6} {:7} {:7}  {}".format(*counts, dataset["branch"]))
    others = [dataset for dataset in built["datasets"] if dataset not in shown]
    moved = sum(dataset["changed_commit"] for dataset in others)
    stage.say(f"    … and {moved} that hold these, {len(others) - moved} without a change")


def _check_changes(scene: Scene, second: Released) -> None:
    stage, edits = scene.stage, scene.samples.edits
    stage.check("added files are those that were uploaded", expected=len(edits.added), got=second.added)
    stage.check("changed files are those that were overwritten", expected=len(edits.overwritten), got=second.changed)
    stage.check("removed files are those that were deleted", expected=len(edits.deleted), got=second.removed)
    before, after = _datasets(stage, FIRST), _datasets(stage, SECOND)
    touched = (*edits.added, *edits.overwritten, *edits.deleted)
    stage.check(
        "datasets with a new commit are those above these files",
        expected=sorted(branch for branch in after if _is_above_any(branch, touched, after)),
        got=sorted(
            branch for branch, entry in after.items() if entry["commit"] != before.get(branch, {}).get("commit")
        ),
    )


def _is_above_any(branch: str, keys: Iterable[ObjectKey], branches: Iterable[str]) -> bool:
    """Whether the dataset of one of the keys, the deepest branch that holds it, is this branch or below it."""
    for key in keys:
        owner = max((other for other in branches if key.startswith(f"{other}/")), key=len, default=_ROOT)
        if branch in (_ROOT, owner) or owner.startswith(f"{branch}/"):
            return True
    return False


def _clone_one_part(scene: Scene) -> None:
    stage = scene.stage
    root = _datasets(stage, FIRST)[_ROOT]["name"]
    stage.title("The scientist: a plain DataLad clone, no opendata needed")
    stage.say("git wants to know who you are before it makes a clone's own records:")
    stage.export(_IDENTITY)
    stage.stock("datalad", "clone", str(stage.folder / STORE / "git" / f"{root}.git"), CLONE)
    stage.say("Only the part that is wanted, mouse cortex neurons: names, sizes and digests, no contents yet.")
    stage.stock("datalad", "-C", CLONE, "get", "-n", CORTEX)
    with stage.inside(f"{CLONE}/{CORTEX}"):
        stage.stock("git", "annex", "whereis", PLAIN)
        stage.say("git-annex refuses servers on loopback until it is told otherwise; a real bucket needs no such line.")
        stage.stock("git", *_ALLOW_LOOPBACK)
        stage.stock("datalad", "get", PLAIN)
    _check_original(scene, "one neuron, got alone, has its original bytes", CORTEX, PLAIN)


def _get_everything(scene: Scene, state: Mapping[ObjectKey, bytes]) -> None:
    stage = scene.stage
    with stage.inside(CLONE):
        stage.stock("datalad", "get", "-n", "-r", ".", lines=3)
        stage.stock("git", *_ALLOW_LOOPBACK)
        stage.stock("git", "submodule", "--quiet", "foreach", "--recursive", shlex.join(["git", *_ALLOW_LOOPBACK]))
        stage.stock("datalad", "get", "-r", "-J", "4", ".", lines=3)
        stage.check("git finds the clone clean", expected="", got=stage.stock("git", "status", "--porcelain"))
    kept = _kept(state)
    found = compare_clone(stage.folder / CLONE, kept)
    for key, path in found.renamed.items():
        stage.say(f"  {key} cannot be a path, next to a folder of its name: it is {path}")
    faults = [
        *(f"{key} has other bytes" for key in found.different),
        *(f"{key} is missing" for key in found.missing),
        *(f"{name} should not be there" for name in found.strangers),
    ]
    promise = f"{len(kept)} files have their original bytes, and there are no others"
    stage.check(promise, expected="no fault", got="; ".join(faults) or "no fault")


def _edit_bucket(scene: Scene) -> None:
    stage, edits = scene.stage, scene.samples.edits
    stage.title("Time passes: the bucket changes")
    for verb, keys in (("overwrite", edits.overwritten), ("upload", edits.added), ("delete", edits.deleted)):
        for key in keys:
            stage.say(f"  {verb:9} {key}")
    _upload(scene, {**edits.overwritten, **edits.added})
    client = scene.server.client()
    for key in edits.deleted:
        client.delete_object(Bucket=BUCKET, Key=key)


def _update_clone(scene: Scene) -> None:
    stage = scene.stage
    stage.title(f"The scientist updates, and sees what changed from {FIRST} to {SECOND}")
    with stage.inside(CLONE):
        stage.stock("datalad", "update", "-r", "--how=ff-only", lines=3)
        stage.stock("git", "log", "--oneline", "--decorate", lines=5)
        stage.stock("git", "diff", "--stat", FIRST, SECOND, lines=5)
        stage.stock("git", "-C", CORTEX, "diff", "--stat", FIRST, SECOND)
    _get_everything(scene, scene.samples.second)


def _get_old_bytes(scene: Scene) -> None:
    stage = scene.stage
    stage.title(f"The reader of a paper that cites {FIRST}: the old bytes")
    for branch, name, what in ((CORTEX, OVERWRITTEN, "overwritten"), (PATCH_CLAMP, DELETED, "deleted")):
        stage.say(f"{name} was {what} in the bucket. Back to {FIRST}, drop the content here, get it from S3 again:")
        with stage.inside(f"{CLONE}/{branch}"):
            stage.stock("git", "checkout", "--quiet", FIRST)
            stage.stock("git", "annex", "drop", name)
            stage.stock("git", "annex", "get", name)
            _check_original(scene, f"the {what} object has its bytes of {FIRST}", branch, name)
            stage.stock("git", "checkout", "--quiet", "main")


def _judge(scene: Scene) -> None:
    stage = scene.stage
    stage.title("The judges: git and git-annex check everything")
    with stage.inside(CLONE):
        stage.stock("git", "annex", "fsck", "--quiet")
        # git-annex ends with another status than 0 where it finds a fault, and foreach then does too.
        stage.stock("git", "submodule", "--quiet", "foreach", "--recursive", "git annex fsck --quiet")
    # Warnings count as faults, and go to stderr.
    each = 'git -C "$r" fsck --strict --no-dangling --no-progress 2>&1'
    faults = stage.stock("sh", "-c", f"set -e; for r in {STORE}/git/*.git; do {each}; done")
    stage.check("git fsck --strict and git annex fsck find no fault", expected="", got=faults)


def _fetch_with_pooch(scene: Scene) -> None:
    stage = scene.stage
    stage.title(f"Without git: one file with plain pooch and the registry of {FIRST}")
    registry = f"{STORE}/{_datasets(stage, FIRST)[CORTEX]['artefacts']}registry.txt"
    words = {"folder": POOCH, "registry": registry, "name": OVERWRITTEN}
    stage.python(_POOCH_SCRIPT.format(**{name: json.dumps(word) for name, word in words.items()}))
    stage.check_bytes(
        f"pooch got the bytes of {FIRST} and checked them against the registry",
        expected=scene.samples.first[ObjectKey(f"{CORTEX}/{OVERWRITTEN}")],
        path=stage.folder / POOCH / OVERWRITTEN,
    )


def _datasets(stage: Stage, version: str) -> dict[str, Any]:
    """What the store says of a release's datasets, by branch."""
    document = json.loads((stage.folder / STORE / "releases" / version / "index.json").read_bytes())
    datasets: dict[str, Any] = document["datasets"]
    return datasets


def _check_original(scene: Scene, promise: str, branch: str, name: str) -> None:
    """Check a file of the clone, whose path is its key, against the first state of the bucket."""
    expected = scene.samples.first[ObjectKey(f"{branch}/{name}")]
    scene.stage.check_bytes(promise, expected=expected, path=scene.stage.folder / CLONE / branch / name)


def _kept(state: Mapping[ObjectKey, bytes]) -> dict[ObjectKey, bytes]:
    return {key: body for key, body in state.items() if not key.startswith(IGNORED_PREFIX)}
