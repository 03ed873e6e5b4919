"""`opendata build`: what it makes, what it says, and that nothing half-made is left whatever stops it."""

import csv
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.dataset import dataset
from opendata_pkg.model import SourceError
from opendata_pkg.paths import fold
from opendata_pkg.plan.plan import FOLDER_MARKER
from opendata_pkg.progress import Reporter
from opendata_pkg.store.store import NoDraftError, Store
from tests.core_support import (
    annexed_paths,
    catalogue_of,
    entry_of,
    every_ref,
    git,
    git_text,
    opendata,
    paths_in,
    publish,
    published,
    repository_of,
    snapshot_of,
    temporary_files,
    write_inputs,
)

KEYS = ("Rat/a.swc", "Rat/Cortex/b b+.swc", "Rat/Deep/Layer/c", "d", "tmp/x", "e/../f")


@pytest.fixture
def inputs(tmp_path):
    """A snapshot of a few objects and a catalogue, as files."""
    return write_inputs(tmp_path / "inputs", snapshot_of(*KEYS, entry_of("marker/", "")))


@pytest.fixture
def store(tmp_path):
    """Where the store goes."""
    return tmp_path / "store"


def no_draft(store):
    """Fail the test if there is a draft."""
    with pytest.raises(NoDraftError):
        Store.open(store).draft()


# What it makes and says


def test_what_a_person_reads(inputs, store):
    """A row per dataset, sums, what was left out and why, and what to do next."""
    status, out, err = opendata("build", inputs[0], "--store", store, "--catalogue", inputs[1])
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["dataset", "files", "size", "added", "changed", "removed", "regraded", "grades"]
    assert [line.split() for line in lines[1:6]] == [
        ["example", "2", "7", "B", "2", "2", "verifiable"],
        ["Rat", "1", "9", "B", "1", "1", "verifiable"],
        ["Rat/Cortex", "1", "19", "B", "1", "1", "verifiable"],
        ["Rat/Deep/Layer", "1", "16", "B", "1", "1", "verifiable"],
        ["4", "datasets,", "5", "files,", "51", "B;", "4", "of", "the", "datasets", "with", "a", "new", "commit"],
    ]
    assert f"left out: 1 ({FOLDER_MARKER})" in lines
    assert "left out: 1 (scratch)" in lines
    assert "renamed, since their keys cannot be paths: 1 file" in lines
    assert lines[-1] == f"built, not released; publish it with: opendata release VERSION --store {store}"


def test_what_a_script_reads(inputs, store):
    """One JSON document with the same figures; every object of the snapshot is accounted for."""
    status, out, _ = opendata("build", inputs[0], "--store", store, "--catalogue", inputs[1], "--json")
    document = json.loads(out)
    assert status == 0
    files = sum(entry["files"] for entry in document["datasets"])
    assert files + sum(document["left_out"].values()) == len(KEYS) + 1
    assert document["datasets"][0]["branch"] == "."
    refs = every_ref(store)
    for entry in document["datasets"]:
        assert f"{entry['name']}.git refs/opendata/draft/main {entry['commit']}" in refs
    assert not any("refs/heads" in ref for ref in refs)
    assert document["report"] == str(store / "draft" / "report.csv")


def test_the_report_names_what_is_not_plain(inputs, store):
    """Left out with the reason, renamed with the path, names that trouble some systems; keys as in inventories."""
    snapshot = snapshot_of("Rat/e/../f", "con", "A", "a", "tmp/n\nx", entry_of("m/", ""))
    build(snapshot, catalogue_of(), store)
    rows = list(csv.DictReader((store / "draft" / "report.csv").read_text(encoding="utf-8").splitlines()))
    told = {(row["what"], row["dataset"], row["key"], row["path"]) for row in rows}
    assert told == {
        ("left out", "", "m/", ""),
        ("left out", "", "tmp/n%0Ax", ""),
        ("renamed", "rat", "Rat/e/../f", "e/%2E%2E/f"),
        ("name", "example", "con", "con"),
        ("name", "example", "a", "a"),
    }


def test_a_dry_run_writes_nothing(inputs, store):
    """The same figures, no store; in an empty folder and on a store, not a byte."""
    words = ("build", inputs[0], "--store", store, "--catalogue", inputs[1], "--dry-run")
    status, out, _ = opendata(*words)
    assert (status, out.splitlines()[-1]) == (0, "dry run: nothing was written")
    assert not store.exists()
    store.mkdir()
    assert opendata(*words)[0] == 0
    assert list(store.iterdir()) == []
    publish(store, "1.0.0", snapshot_of("d"))
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    _, out, _ = opendata(*words, "--json")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    document = json.loads(out)
    assert [entry["added"] for entry in document["datasets"] if entry["branch"] == "."] == [1]
    assert {entry["commit"] for entry in document["datasets"]} == {None}


def test_a_draft_of_some_branches(inputs, store):
    """`--only` builds those branches and all below; it says at once that such a draft cannot be released."""
    words = (
        "build",
        inputs[0],
        "--store",
        store,
        "--catalogue",
        inputs[1],
        "--only",
        "Rat/Deep/Layer",
        "--only",
        "Rat/Cortex/",
    )
    status, out, _ = opendata(*words)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["Rat/Cortex", "Rat/Deep/Layer"]
    assert out.splitlines()[-1] == "a draft of some branches only, which cannot be released"
    assert not Store.open(store).draft().complete


def test_the_stores_own_catalogue_counts(inputs, store):
    """With a store, its own catalogue is taken, draft or released, never the shipped one."""
    assert opendata("build", inputs[0], "--store", store, "--catalogue", inputs[1])[0] == 0
    assert opendata("build", inputs[0], "--store", store)[0] == 0
    assert opendata("release", "1.0.0", "--store", store)[0] == 0
    status, out, _ = opendata("build", inputs[0], "--store", store, "--json")
    assert (status, json.loads(out)["catalogue"]) == (0, catalogue_of().sha256)


def test_building_again_replaces_the_draft(inputs, store):
    """The same snapshot gives the same draft; another one its own; nothing of the first is in its way."""
    build(snapshot_of(*KEYS), catalogue_of(), store)
    first = every_ref(store)
    build(snapshot_of("d", "Mouse/new"), catalogue_of(), store)
    assert set(Store.open(store).draft().datasets) == {"", "Mouse"}
    build(snapshot_of(*KEYS), catalogue_of(), store)
    assert [ref for ref in every_ref(store) if not ref.startswith("mouse.git")] == first
    assert not (store / "draft" / "mouse").exists()


HOSTILE = (
    *(".gitmodules", ".git", ".GIT/config", "a/.git/hooks/post-checkout", "git~1/x", ".gitattributes", ".gitignore"),
    *(
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "./x",
        "a//b",
        "a/",
        "x/../y",
        "~",
        "-rf",
        "--help",
        "$(reboot)",
        "`id`",
    ),
    *(
        "a",
        "a/b",
        "a%file",
        "a%dir/c",
        "%61",
        "new\nline",
        "tab\t",
        "esc\x1b[31m",
        "nul\x01",
        "back\\slash",
        "C:\\x",
        "con",
    ),
    *(
        "README.md/x",
        "citation.cff",
        "datapackage.json",
        "_opendata/files/x.csv",
        ".datalad/config",
        ".mailmap",
        ".noannex",
    ),
    *(
        "Rat",
        "rat/x",
        "RAT/Cortex",
        "Rat/Deep",
        "Rat/deep/layer/x",
        "Rat/Cortex/CITATION.cff/y",
        "Rat/Cortex/.gitmodules",
    ),
    *(
        "é",
        "e\u0301",
        "\u202egnp.exe",
        "\ufeff.git/x",
        "日本/" + "長" * 100,
        "x" * 300,
        "/".join("d" * 200 for _ in range(5)),
    ),
    *(
        '"quoted"',
        "'single'",
        " lead",
        "trail ",
        "semi;colon",
        "a*b",
        "[x]",
        "{y}",
        "#hash",
        "!bang",
        "a|b",
        "Rat/%",
        "%/%",
    ),
)


def test_hostile_names_check_out(store, tmp_path):
    """A bucket of evil and clashing names: no fault for `git fsck --strict`, a clean checkout, every key accounted for."""
    snapshot = snapshot_of(*HOSTILE)
    built, _ = publish(store, "1.0.0", snapshot)
    assert sum(entry.totals.files for entry in built.datasets) == len(set(HOSTILE))
    for repository in sorted((store / "git").iterdir()):
        assert git_text(repository, "fsck", "--strict", "--full") == ""
        clone = tmp_path / repository.stem
        git(tmp_path, "-c", "protocol.file.allow=always", "clone", "--quiet", repository, clone)
        assert git_text(clone, "status", "--porcelain") == ""
        there = {str(path.relative_to(clone)) for path in clone.rglob("*") if path.is_symlink()}
        assert there == annexed_paths(repository)
        assert not (clone / ".git" / "hooks" / "post-checkout").exists()


def test_the_buckets_own_readme_wins(store):
    """An object named README.md is the file, in any case, and a folder of that name leaves no room for ours either."""
    publish(store, "1.0.0", snapshot_of("readme.MD", "Rat/README.md/x", "Mouse/CITATION.cff", "Mouse/a/README.md"))
    root, rat, mouse = (paths_in(repository_of(store, name)) for name in ("example", "rat", "mouse"))
    assert root["readme.MD"] == "120000"
    assert "README.md" not in root
    assert rat["README.md/x"] == "120000"
    assert rat["CITATION.cff"] == "100644"
    assert mouse["CITATION.cff"] == "120000"
    assert mouse["README.md"] == "100644"


def test_names_that_fold_to_ours_begin_as_ours():
    """Only a name that begins with an r or a c, small or large, can be taken for README.md or CITATION.cff."""
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    found = {character for character in characters if fold(character)[:1] in {dataset._README[0], dataset._CITATION[0]}}
    assert found == {character for character in characters if re.match(dataset._BEGINNINGS, character)}


def test_same_content_has_one_key_with_few_urls(store):
    """A thousand objects of the same bytes: one key, at most four URLs, versioned ones first."""
    many = [entry_of(f"n{number:04}", "same") for number in range(1000)]
    versioned = [entry_of(f"z{number}", "same", version="v") for number in range(2)]
    publish(store, "1.0.0", snapshot_of(*many, *versioned))
    logs = [path for path in paths_in(repository_of(store), "git-annex") if path.endswith(".log.web")]
    assert len(logs) == 1
    lines = git_text(repository_of(store), "cat-file", "blob", f"git-annex:{logs[0]}").splitlines()
    assert [line.rsplit("/", 1)[1] for line in lines] == ["n0000", "n0001", "z0?versionId=v", "z1?versionId=v"]


# Bad input: the sentence and the exit status


def refused(status, says, *words):
    """Fail the test unless the command ends with that status, nothing on stdout, and says that on stderr."""
    found, out, err = opendata(*words)
    assert (found, out) == (status, ""), err
    assert err.startswith("error: ")
    for text in says if isinstance(says, tuple) else (says,):
        assert text in err


def test_files_without_digest(tmp_path, store):
    """Stops with how many, how large, and both remedies; bare or with a glob, they are let be."""
    snapshot = snapshot_of(entry_of("a.big", "12345", known=None), entry_of("b", "67", known=None), "c")
    path, catalogue = write_inputs(tmp_path / "inputs", snapshot)
    words = ("build", path, "--store", store, "--catalogue", catalogue)
    says = ("no digest is known of 2 objects of 7 bytes", "opendata hash SNAPSHOT --dry-run", "--allow-undigested")
    refused(3, says, *words)
    no_draft(store)
    refused(3, "no digest is known of 1 object of 2 bytes (one is 'b')", *words, "--allow-undigested=*.big")
    status, out, _ = opendata(*words, "--allow-undigested")
    assert status == 0
    assert "1 verifiable 2 mutable" in out


def test_a_folder_of_other_things(tmp_path, inputs):
    """Refused with or without a catalogue in the words of who makes a store, and left alone."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("x")
    says = "expected a store or an empty folder at"
    refused(3, says, "build", inputs[0], "--store", tmp_path / "other")
    refused(3, says, "build", inputs[0], "--store", tmp_path / "other", "--catalogue", inputs[1])
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine"]


def test_a_refused_build_names_the_draft_that_is_still_there(tmp_path, store):
    """The draft stays as it was, and whoever would release it after all is told what it is of, whatever was refused."""
    first = snapshot_of(*KEYS, finished=datetime(2026, 1, 2, tzinfo=UTC))
    path, catalogue = write_inputs(tmp_path / "first", first)
    assert opendata("build", path, "--store", store, "--catalogue", catalogue)[0] == 0
    draft = Store.open(store).draft()
    undigested, _ = write_inputs(tmp_path / "second", snapshot_of(entry_of("b", known=None)))
    for refused_one, status in ((undigested, 3), (tmp_path / "none.parquet", 4)):
        found, _, err = opendata("build", refused_one, "--store", store)
        told, error = err.splitlines()
        assert found == status
        assert f"the snapshot {first.id[:12]} of s3://bucket as listed at 2026-01-02T00:00:00Z" in told
        assert "what opendata release would publish" in told
        assert error.startswith("error: ")
        assert Store.open(store).draft() == draft


def test_no_snapshot(tmp_path, store, inputs):
    """No such file, or half of one: how to make it."""
    refused(4, ("no snapshot at ", "opendata scan SOURCE --out"), "build", tmp_path / "no.parquet", "--store", store)
    inputs[0].with_suffix(".json").unlink()
    refused(4, "snapshot.json is missing", "build", inputs[0], "--store", store)
    refused(3, "expected a snapshot's name to end in .parquet", "build", tmp_path / "x.csv", "--store", store)
    assert not store.exists()


def test_a_truncated_snapshot(inputs, store):
    """Cut short, at any place."""
    data = inputs[0].read_bytes()
    for size in (0, 3, len(data) // 2, len(data) - 1):
        inputs[0].write_bytes(data[:size])
        refused(3, "is no whole snapshot", "build", inputs[0], "--store", store, "--catalogue", inputs[1])
    assert not store.exists()


def test_a_header_of_another_snapshot(inputs, store):
    """Rows and header that do not belong together."""
    header = inputs[0].with_suffix(".json")
    document = json.loads(header.read_bytes())
    header.write_text(json.dumps(document | {"id": "0" * 64}))
    refused(3, ("has snapshot id", "do not belong together"), "build", inputs[0], "--store", store)
    header.write_text(json.dumps(document | {"base_url": "http://127.0.0.1:9/other/"}))
    refused(3, "do not belong together", "build", inputs[0], "--store", store)
    header.write_text(header.read_text()[:-20])
    refused(3, "snapshot.json: at $: expected a JSON document", "build", inputs[0], "--store", store)


def test_a_snapshot_of_a_newer_format(inputs, store):
    """What to upgrade."""
    header = inputs[0].with_suffix(".json")
    header.write_text(json.dumps(json.loads(header.read_bytes()) | {"format": 2}))
    says = ("snapshot.json has format version 2, but this opendata reads up to 1", "pip install --upgrade opendata-pkg")
    refused(3, says, "build", inputs[0], "--store", store)


def test_a_store_of_a_newer_format(inputs, store):
    """It is left alone."""
    publish(store, "1.0.0", snapshot_of("d"))
    text = (store / "index.json").read_text().replace('"format": 1', '"format": 7', 1)
    (store / "index.json").write_text(text)
    for words in (("build", inputs[0], "--store", store), ("release", "1.1.0", "--store", store)):
        refused(3, ("index.json has format version 7", "pip install --upgrade"), *words)
    assert (store / "index.json").read_text() == text


def test_empty_and_nowhere(tmp_path, store):
    """A snapshot without objects; one without an address."""
    path, catalogue = write_inputs(tmp_path / "empty", snapshot_of())
    refused(4, "the snapshot holds no objects", "build", path, "--store", store, "--catalogue", catalogue)
    path, catalogue = write_inputs(tmp_path / "nowhere", snapshot_of("a", base_url=None))
    refused(
        3, ("does not say where readers fetch", "--base-url"), "build", path, "--store", store, "--catalogue", catalogue
    )


def test_a_folder_that_is_no_store(inputs, tmp_path):
    """It is named, and nothing in it is touched."""
    for words in (("--catalogue", inputs[1]), ()):
        refused(3, "expected a store", "build", inputs[0], "--store", inputs[0].parent, *words)
        refused(3, "expected a store", "build", inputs[0], "--store", inputs[1], "--catalogue", inputs[1])
    refused(3, "expected a store at", "release", "1.0.0", "--store", inputs[0].parent)
    refused(4, ("no store at", "opendata build SNAPSHOT --store"), "release", "1.0.0", "--store", tmp_path / "none")
    assert len(list(inputs[0].parent.iterdir())) == 3


def test_a_store_of_another_catalogue(inputs, store):
    """Datasets of two catalogues do not mix."""
    publish(store, "1.0.0", snapshot_of("d"), catalogue_of(identity="other"))
    says = "expected a store of the catalogue example, but"
    refused(3, (says, "is one of other"), "build", inputs[0], "--store", store, "--catalogue", inputs[1])


def test_an_unknown_branch(inputs, store):
    """`--only` of a branch that is none: what may be meant."""
    words = ("build", inputs[0], "--store", store, "--catalogue", inputs[1], "--only", "Rat/Kortex")
    refused(4, ("no branch 'Rat/Kortex'", "did you mean Rat/Cortex?"), *words)


def test_a_broken_promise(inputs, store):
    """A released branch that is gone from the catalogue; a narrower scan."""
    publish(store, "1.0.0", snapshot_of("Mouse/x"))
    inputs[1].write_bytes(catalogue_of("branches: {Rat: {}}\n").source_bytes)
    words = ("build", inputs[0], "--store", store, "--catalogue", inputs[1])
    refused(3, ("branch Mouse was released as dataset", "keep its entry"), *words)
    path, _ = write_inputs(inputs[0].parent, snapshot_of("Rat/a.swc", prefixes=("Rat/",)))
    refused(3, "this snapshot covers only Rat/", "build", path, "--store", store)


@pytest.mark.usefixtures("git_identity")
def test_somebody_pushed_to_the_store(store):
    """Their commit is kept, and the build says where it is; no draft is left of what was built before."""
    publish(store, "1.0.0", snapshot_of(*KEYS))
    repository = repository_of(store, "rat")
    theirs = git_text(repository, "commit-tree", "-m", "mine", "-p", "main", "main^{tree}")
    git(repository, "update-ref", "refs/heads/main", theirs)
    path, _ = write_inputs(store.parent / "inputs", snapshot_of(*KEYS, "Rat/new"))
    refused(
        3, (f"got {theirs}: somebody has written to the store", "set the ref back"), "build", path, "--store", store
    )
    assert git_text(repository, "rev-parse", "main") == theirs
    no_draft(store)


def test_one_build_at_a_time(inputs, store):
    """The second is told at once that the first is at work, before it reads anything that may change under it."""
    publish(store, "1.0.0", snapshot_of("d"))
    words = ("--store", store)
    with Store(store).locked():
        refused(5, ("another opendata is writing to", "wait until it is done"), "build", inputs[0], *words)
        refused(5, "another opendata is writing to", "release", "2.0.0", *words)
        # Looking is allowed.
        assert opendata("build", inputs[0], *words, "--dry-run")[0] == 0
    assert opendata("build", inputs[0], *words)[0] == 0


class _Meanwhile(Reporter):
    """Does something else as soon as a build begins to write."""

    def __init__(self, act):
        self.act = act

    def start(self, task, total=None, unit="files"):  # noqa: ARG002 - what is begun does not matter
        """A task begins."""
        self.act()


def test_two_builds_really_at_once(inputs, store):
    """Another process that builds while this one writes is turned away, and this one's draft is whole."""
    words = [sys.executable, "-m", "opendata_pkg", "build", inputs[0], "--store", store, "--catalogue", inputs[1]]
    said = []

    def other():
        said.append(subprocess.run(words, capture_output=True, text=True, check=False))

    build(snapshot_of(*KEYS), catalogue_of(), store, reporter=_Meanwhile(other))
    assert said[0].returncode == 5
    assert "another opendata is writing to" in said[0].stderr
    assert Store.open(store).draft().complete


# Interruptions


def big_snapshot():
    """Enough objects that a build of them takes a while, and some megabytes."""
    return snapshot_of(*(entry_of(f"Rat/{number:05}.swc", str(number)) for number in range(12_000)), "d")


def test_ctrl_c(store, tmp_path):
    """130, one sentence, the old release as it was, no draft, no half-written file; the next build works."""
    publish(store, "1.0.0", snapshot_of(*KEYS))
    before = published(store)
    path, _ = write_inputs(tmp_path / "inputs", big_snapshot())
    words = [sys.executable, "-m", "opendata_pkg", "build", str(path), "--store", str(store)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any((store / "git").glob("*/objects/pack/tmp_pack_*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: interrupted: nothing half-made was published; run the same command again to go on\n"
    assert temporary_files(store) == []
    no_draft(store)
    after = published(store)
    assert {name: after[name] for name in before} == before
    built, released = publish(store, "1.1.0", snapshot_of(*KEYS, "new"))
    assert released.changed == ("example",)
    assert len(built.datasets) == 4


def test_a_file_that_may_not_grow(inputs, store):
    """A limit on file sizes is told as what the system refused, and nothing is left of the build."""
    publish(store, "1.0.0", snapshot_of(*KEYS))
    before = published(store)
    path, _ = write_inputs(inputs[0].parent, big_snapshot())
    done = subprocess.run(
        [sys.executable, "-m", "opendata_pkg", "build", path, "--store", store],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
    )
    assert done.returncode == 5
    assert "error: the system refused" in done.stderr
    assert "File too large" in done.stderr
    assert published(store).items() >= before.items()
    assert temporary_files(store) == []
    no_draft(store)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of three megabytes, for whoever may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if (
        os.getuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk, tmp_path):
    """Through the command: 5, which disk, the old release readable, no draft; with less data there is room again."""
    store = small_disk / "store"
    publish(store, "1.0.0", snapshot_of(*KEYS))
    before = published(store)
    path, _ = write_inputs(tmp_path / "inputs", big_snapshot())
    refused(5, ("the disk is full", "nothing was published", "free space"), "build", path, "--store", store)
    assert published(store).items() >= before.items()
    assert temporary_files(store) == []
    no_draft(store)
    assert publish(store, "1.1.0", snapshot_of(*KEYS, "new"))[1].changed == ("example",)


def test_a_disk_that_runs_full_anywhere(small_disk):
    """With a little more room each time, a build stops at another place, and never leaves less than there was."""
    store, filler = small_disk / "store", small_disk / "filler"
    publish(store, "1.0.0", snapshot_of(*KEYS))
    before = published(store)
    stopped = set()
    for pages in range(0, 130, 9):
        room = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - pages * 4096)))
        try:
            build(snapshot_of(*KEYS, "new", "Rat/new", "Mouse/new"), catalogue_of(), store)
        except (OSError, SourceError) as error:
            assert isinstance(error, SourceError) or error.errno == errno.ENOSPC  # noqa: PT017 - either of two
            # Packs that were whole stay, and are not written again.
            stopped.add(len(list(store.rglob("*"))))
            assert not (store / "draft").exists()
            no_draft(store)
            assert temporary_files(store) == []
        filler.unlink()
        assert published(store).items() >= before.items()
        assert Store.open(store).latest().version == "1.0.0"
    assert len(stopped) >= 3
    assert publish(store, "1.1.0", snapshot_of(*KEYS, "new"))[1].changed == ("example",)


def test_another_address_is_said(tmp_path):
    """A snapshot of another bucket builds, but the steward is told before anything is released."""
    store = tmp_path / "store"
    publish(store, "1.0.0", snapshot_of("a"))
    moved = snapshot_of("a", base_url="http://127.0.0.1:9/elsewhere/")
    said = []

    class Listener(Reporter):
        def message(self, text):
            said.append(text)

    build(moved, catalogue_of(), store, reporter=Listener())
    assert len(said) == 1
    assert "objects are at http://127.0.0.1:9/bucket/, this snapshot's at http://127.0.0.1:9/elsewhere/" in said[0]
