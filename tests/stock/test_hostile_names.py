"""A bucket full of names that git, file systems or shells take amiss: every object still comes out under its name."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.model import ObjectKey, S3Object, Sha256
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.text import unescape_line

VERSION = "2026.1.0"
# Mounts that clash with objects, are deep, or need quoting in .gitmodules and escaping in the tree.
CATALOGUE = """\
format: 1
id: hostile
epoch: 2024-01-01T00:00:00Z
branches:
  Mouse:
    branches:
      "Sub Folder#1;x":
  "lib/nested":
  "100%":
  "été":
  "quo'te\\"d":
"""
LONG = "é" * 127 + "x"  # 255 bytes
KEYS = (
    # An object beside a folder of its name, at several depths, and names that look like what we make of them.
    *("a", "a/b", "c", "c/d", "c/d/e", "a%file", "a%file/b", "a%dir/b", "%empty", "a%more/b", "n", "n/", "deep/n"),
    # Empty names, `.` and `..`.
    *("/lead", "twice//x", "//", "end/of/it/", "./x", "../x", "x/./y", "x/../y", ".", "..", "...", "../../etc/passwd"),
    # Backslash and control characters, line ends of all kinds, what XML cannot say.
    *("back\\slash", "\\", "tab\there", "new\nline", "cr\rlf\r\n", "\x01", "del\x7f", "nel\x85", "ls\u2028ps\u2029"),
    # git's own names, as written, as Windows and as macOS see them.
    *(".git", "sub/.git/config", ".GIT/HEAD", ".gitmodules", ".gitattributes", "sub/.gitignore", ".mailmap", ".Git "),
    *("git~1", "GIT~1/config", "gitmod~1", "GI7EBA~1", "gi7d29~1", ".git.", ".git::$INDEX_ALLOCATION", "..git"),
    *(
        ".g\u200cit/x",
        ".gitmod\u200dules",
        "\ufeff.git",
        ".git\\x",
        "maI30D~1",
        "mailma~1",
        ".gitkeep",
        "x/.gitmodules",
    ),
    # DataLad's, git-annex's and ours.
    *(".datalad/config", "x/.datalad/y", ".noannex", "datapackage.json", "DataPackage.JSON", "x/datapackage.json"),
    *("_opendata/x", "_OPENDATA/files/0.csv", "_opendata", "README.md", "readme.md", "CITATION.cff", "Citation.CFF"),
    *("Mouse/README.md/x", "Mouse/CITATION.cff/x", "lib/nested/readme.md/x", "lib/nested/Citation.cff/x"),
    # Where children are mounted: equal, equal but for case or Unicode form, on the way there, inside.
    *("Mouse", "mouse/x", "MOUSE", "Mouse/", "Mouse/in", "Mouse/datapackage.json", "Mouse/Sub Folder#1;x", "lib"),
    *("Mouse/Sub Folder#1;x/in", "Mouse/sub folder#1;x/y", "lib/nested", "Lib/Nested/z", "lib/nested/in", "lib/else"),
    *("100%/in", "100%", "100%25/x", "été/in", "e\u0301te\u0301/x", "\u00c9t\u00c9", "quo'te\"d/in", "quo'te\"d"),
    # Long names, long paths.
    *(LONG, LONG + "yz", "x" * 300, "🧠" * 100, f"{'y' * 300}/{'z' * 300}", f"{'y' * 300}/b", "w" * 251 + "%" * 4),
    *("/".join(f"level{n}" for n in range(60)), "/".join(["x" * 255] * 3), "v" * 248 + ".git"),
    # What shells, Windows, macOS, git's and git-annex's command lines would make of them.
    *("dot.", "space ", " lead", "CON", "con.txt", "nul/x", "a:b", "*", "?", "[a]", "!bang", "#", "-leading", "--all"),
    *("-", "~", "$HOME", "`id`", "'q'", '"qq"', ":(top)x", ":/x", "@", "@{u}", "HEAD", "refs/heads/main", "%41"),
    *("%2F", "%", "%%", "%s%d", "a+b", "a b", "x=y&z", "<x>", "a,b;c", "é", "e\u0301", "\u212a", "k", "K", "\u017f"),
    *("🧠", "\U0010ffff", "\n"),
)
# What random names are put together from.
PIECES = (
    *("a", "A", "b", "/", "/", "//", ".", "..", "./", "~", "~1", " ", "\n", "\\", ":", "%", "-", "#", '"', "'", ";"),
    *("é", "e\u0301", "\u200c", "\ufeff", "\u017f", "\x80", ".git", ".Git", "git", "GI", "7EBA", "modules", ".mailmap"),
    *("%file", "%dir", "%more", "%empty", "%2E", "x" * 120, "y" * 200, "é" * 60, "n", "n/", "Mouse", "Mouse/", "lib/"),
    *("nested/", "README.md", "readme.md", "CITATION.cff", "datapackage.json", "_opendata", ".noannex", ".datalad"),
)
MARKERS = ("m/", "Experimental/", "m/n/")


def body_of(key):
    """What the object of that key holds: nothing if it marks a folder."""
    return b"" if key in MARKERS else f"the bytes of {key}\n".encode()


class _Bucket(BaseHTTPRequestHandler):
    """Answers as S3 does: the path, percent-decoded once and not resolved, is the key."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self):
        """The object of the key that was asked for."""
        key = unquote_to_bytes(self.path.removeprefix("/bucket/")).decode()
        known = key in KEYS
        body = body_of(key) if known else b"NoSuchKey"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def base_url():
    """A loopback server that has every object at its exact key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bucket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/bucket/"
    server.shutdown()
    thread.join()
    server.server_close()


def publish(keys, version, store, base_url):
    """Release a bucket with these keys."""
    objects = [
        S3Object(
            key=ObjectKey(key),
            size_bytes=len(body_of(key)),
            sha256=Sha256(hashlib.sha256(body_of(key)).hexdigest()),
        )
        for key in keys
    ]
    header = SnapshotHeader(source="a hostile bucket", method="listing-file", base_url=base_url)
    build(Snapshot.from_objects(objects, header), Catalogue.parse(CATALOGUE.encode(), "hostile.yaml"), store)
    release(version, store)


@pytest.fixture(scope="module")
def store(base_url, tmp_path_factory):
    """A store of the hostile bucket."""
    folder = tmp_path_factory.mktemp("hostile") / "store"
    publish((*KEYS, *MARKERS), VERSION, folder, base_url)
    return folder


@pytest.fixture(scope="module")
def datasets(store):
    """The datasets of the release, by branch."""
    return json.loads((store / "releases" / VERSION / "index.json").read_bytes())["datasets"]


STRICT = ("core.protectNTFS=true", "core.protectHFS=true", "transfer.fsckObjects=true")


def clone_with(tool, store, folder, settings):
    """A git clone with its subdatasets, `folder / "c"`, made with these settings of git, for all of them."""
    options = [word for setting in ("protocol.file.allow=always", *settings) for word in ("-c", setting)]
    source = store / "git" / "hostile.git"
    tool("git", *options, "clone", "--quiet", "--no-local", "--recurse-submodules", source, "c", cwd=folder)
    return folder / "c"


@pytest.fixture(scope="module", params=["strict", "plain"])
def clone(request, store, tool, tmp_path_factory):
    """A clone; once with all that git has against names that trouble Windows and macOS."""
    folder = tmp_path_factory.mktemp("clone")
    return clone_with(tool, store, folder, STRICT if request.param == "strict" else ())


def read_inventory(shards):
    """Path → key of each file, from the CSV files in a folder."""
    found = {}
    for shard in sorted(shards.glob("*.csv")):
        with shard.open(encoding="utf-8", newline="") as stream:
            found |= {row["path"]: unescape_line(row["key"]) for row in csv.DictReader(stream)}
    return found


def inventory(dataset):
    """Path → key of each file, as the dataset's own inventory has them."""
    return read_inventory(dataset / "_opendata" / "files")


def tracked_links(tool, dataset):
    """The paths of all symlinks in a dataset's index."""
    listed = tool("git", "ls-files", "-s", "-z", cwd=dataset).split("\0")[:-1]
    return {entry.partition("\t")[2] for entry in listed if entry.startswith("120000 ")}


def place(clone, entry_branch):
    """Where a branch is mounted in the clone: each `%` of its path is escaped."""
    return clone / entry_branch.replace("%", "%25")


def test_no_key_is_listed_twice():
    """The test's own keys are all different, and as long as S3 lets them be."""
    assert len(set(KEYS)) == len(KEYS)
    assert max(len(key.encode()) for key in KEYS) <= 1024


def test_repositories_are_sound(store, datasets, fsck):
    """git finds no fault in any repository, strictly looked at."""
    for entry in datasets.values():
        fsck(store / "git" / f"{entry['name']}.git")


def test_every_key_has_its_path(clone, datasets, tool):
    """Every object is one file of one dataset, there in the checkout, and the inventory maps its path to its key."""
    keys = []
    for branch in datasets:
        dataset = place(clone, branch)
        listed = inventory(dataset)
        assert tracked_links(tool, dataset) == set(listed)
        for path, key in listed.items():
            assert (dataset / path).is_symlink(), key
        assert tool("git", "status", "--porcelain", cwd=dataset) == ""
        keys += listed.values()
    assert sorted(keys) == sorted(KEYS)


def test_report_and_index_add_up(store, datasets):
    """Folder markers, and nothing else, are left out; renamed objects are in the report with their paths."""
    with (store / "releases" / VERSION / "report.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(unescape_line(row["key"]) for row in rows if row["what"] == "left out") == sorted(MARKERS)
    assert sum(entry["files"] for entry in datasets.values()) == len(KEYS)
    renamed = {unescape_line(row["key"]): row["path"] for row in rows if row["what"] == "renamed"}
    assert renamed["a"] == "a%file"
    assert renamed[".gitmodules"] == "%2Egitmodules"
    assert renamed["MOUSE"] == "%4DOUSE"
    assert "-leading" not in renamed
    assert "é" not in renamed


def test_no_name_is_gits(clone, datasets):
    """No part of a path is too long for a file system, or what any system could take for git's or DataLad's own."""
    for branch in datasets:
        for path in inventory(place(clone, branch)):
            for part in path.split("/"):
                assert 0 < len(part.encode()) <= 255
                assert not part.casefold().startswith((".git", ".mailmap", ".datalad", ".noannex", "git~"))
                assert part not in {".", ".."}
                assert not set(part) & {"\\", "\n", "\r", "\x7f", "\u200c"} or ".g" not in part


def test_our_files_stand(clone, datasets):
    """Descriptor and settings are ours, whatever the bucket has; its README.md and CITATION.cff are its own."""
    for branch, entry in datasets.items():
        dataset = place(clone, branch)
        assert json.loads((dataset / "datapackage.json").read_bytes())["name"] == entry["name"]
        assert entry["id"] in (dataset / ".datalad" / "config").read_text()
    for name in ("README.md", "readme.md", "CITATION.cff", "Citation.CFF"):
        assert (clone / name).is_symlink()


@pytest.mark.parametrize("clone", ["strict"], indirect=True)
def test_all_bytes_come(clone, datasets, tool, git_identity):
    """git-annex finds every file and gets it: its URL brings the server the exact key, whatever it is."""
    for branch, entry in datasets.items():
        dataset = place(clone, branch)
        tool("git", "annex", "init", cwd=dataset)
        tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=dataset)
        listed = inventory(dataset)
        found = tool("git", "annex", "find", "--print0", "--anything", cwd=dataset).split("\0")[:-1]
        assert sorted(found) == sorted(listed)
        assert len(found) == entry["files"]
        tool("git", "annex", "get", "--quiet", ".", cwd=dataset)
        for path, key in listed.items():
            assert (dataset / path).read_bytes() == body_of(key)
        tool("git", "annex", "fsck", "--quiet", cwd=dataset)


def test_datalad_installs_every_mount(store, datasets, tool, git_identity, tmp_path):
    """DataLad finds all subdatasets, whatever their names, and each is the one that the release names."""
    tool("datalad", "clone", store / "git" / "hostile.git", "clone", cwd=tmp_path)
    tool("datalad", "get", "-n", "-r", ".", cwd=tmp_path / "clone")
    for branch, entry in datasets.items():
        mounted = place(tmp_path / "clone", branch)
        assert tool("git", "rev-parse", "HEAD", cwd=mounted).strip() == entry["commit"]


def test_files_become_folders_and_back(base_url, tool, fsck, tmp_path):
    """When objects take the names of folders and folders those of objects, old clones follow, and paths stay apart."""
    states = {
        "2026.1.0": ["file", "dir/x", "both", "steady"],
        "2026.1.1": ["file/x", "dir", "both", "both/x", "steady"],
        "2026.1.2": ["file", "dir/x", "both/x", "steady"],
    }
    expected = {
        "2026.1.0": ["both", "dir/x", "file", "steady"],
        "2026.1.1": ["both", "both%dir/x", "dir%file", "file%dir/x", "steady"],
        "2026.1.2": ["both%dir/x", "dir/x", "file", "steady"],
    }
    for version, keys in states.items():
        publish(keys, version, tmp_path / "store", base_url)
        if not (tmp_path / "clone").exists():
            tool("git", "clone", "--quiet", tmp_path / "store" / "git" / "hostile.git", "clone", cwd=tmp_path)
        tool("git", "pull", "--quiet", "--ff-only", cwd=tmp_path / "clone")
        assert sorted(tracked_links(tool, tmp_path / "clone")) == expected[version]
        assert sorted(inventory(tmp_path / "clone").values()) == sorted(keys)
    fsck(tmp_path / "store" / "git" / "hostile.git")


def test_descriptors_conform(store, frictionless):
    """The stock `frictionless` finds every descriptor and inventory valid, whatever the names in it."""
    assert frictionless((store / "releases" / VERSION).glob("*/datapackage.json")) == []


def test_random_names(base_url, tool, fsck, tmp_path):
    """Over three releases of random halves of random names, all check out, and a key has one path, a path one key."""
    chance = random.Random(20260101)
    names = {"".join(chance.choices(PIECES, k=chance.randint(1, 7))) for _ in range(1500)}
    keys = sorted(name for name in names if len(name.encode()) <= 1024)
    store, known = tmp_path / "store", {}
    for version in ("2026.1.0", "2026.1.1", "2026.1.2"):
        chosen = keys if version == "2026.1.2" else [key for key in keys if chance.random() < 0.5]
        publish(chosen, version, store, base_url)
        index = json.loads((store / "releases" / version / "index.json").read_bytes())
        found = []
        for branch, entry in index["datasets"].items():
            for path, key in read_inventory(store / entry["artefacts"] / "files").items():
                assert known.setdefault(key, (branch, path)) == (branch, path)
                found.append(key)
        assert sorted(found) == chosen
    assert len(set(known.values())) == len(keys)
    for repository in (store / "git").iterdir():
        fsck(repository)
    clone_with(tool, store, tmp_path, STRICT)
    for branch, path in known.values():
        assert (place(tmp_path / "c", branch) / path).is_symlink()
