"""git-annex's own formats, judged by git-annex itself."""

import hashlib
import json
import random
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg import annex
from opendata_pkg.git.objects import FILE, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import Repository
from opendata_pkg.model import AnnexKey
from opendata_pkg.plan.plan import annex_keys, make_plans
from tests.core_support import BASE, catalogue_of, entry_of, git, git_text, link_of, snapshot_of

pytestmark = pytest.mark.usefixtures("git_identity")

SHA256 = hashlib.sha256(b"x").hexdigest()
MD5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
STEMS = ("a", ".x", "", "foo bar", "..x", "...", "é", "a.", "日本", "a\tb", "'", "-")
PARTS = (
    "swc",
    "nii",
    "gz",
    "tar",
    "jpeg",
    "toolong",
    "b-c",
    "é",
    "日本",
    "日",
    "日é",
    "fiver",
    "",
    "x y",
    "h5",
    "NWB",
    "a",
    " ",
    "_",
    "c1r+",
)
URLS = (
    "https://b.s3.us-west-2.amazonaws.com/a",
    "http://127.0.0.1:9/a,b",
    "http://127.0.0.1:9/" + "a%20b/" * 12 + "?versionId=1",
    "http://127.0.0.1:9/exactly-sixty-four-bytes-of-a-url-here-0123456789-abcdefghij",
    "http://127.0.0.1:9/one-more-than-sixty-four-bytes-of-a-url-0123456789-abcdefghij",
    "http://127.0.0.1:9/%E6%97%A5%E6%9C%AC?versionId=null&x=1",
)


@pytest.fixture
def clone(tmp_path):
    """An empty repository in which git-annex works."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "annex", "init", "--quiet")
    return tmp_path


def random_names():
    """File names with no, few and many dots, known and odd extensions."""
    choice = random.Random(1)
    names = {
        choice.choice(STEMS) + "".join(f".{choice.choice(PARTS)}" for _ in range(choice.randint(0, 5)))
        for _ in range(6000)
    }
    return sorted(names - {"", ".", ".."})


def test_extensions_and_folders_are_git_annexs(clone):
    """Thousands of names: the extension of a key and both its hash folders are those that git-annex gives."""
    names = random_names()
    assert len(names) > 3000
    lines = "".join(f"SHA256-s1--{SHA256} {name}\n" for name in names)
    form = "--format=${key}|${hashdirlower}|${hashdirmixed}\\n"
    said = git(clone, "annex", "examinekey", "--batch", "--migrate-to-backend=SHA256E", form, data=lines.encode())
    ours = []
    for name in names:
        key = AnnexKey(f"SHA256E-s1--{SHA256}{annex.extension_of(name)}")
        mixed = annex.object_path(key).rsplit("/", 2)[0]
        ours.append(f"{key}|{annex.log_stem(key)[:7]}/|{mixed}/")
    assert said.decode().split("\n")[:-1] == ours


def test_keys_in_bulk_are_those_one_by_one():
    """Keys, symlinks and paths of logs of thousands of names, of whatever digest is known."""
    kinds = ("sha256", "md5", "both", None)
    entries = [entry_of(f"f/{name}", name, known=kinds[n % 4]) for n, name in enumerate(random_names())]
    entries.append(entry_of("no size", size_bytes=None))
    plan = make_plans(snapshot_of(*entries, base_url="http://h:1/a%20&/"), catalogue_of("")).by_branch[""]
    files = list(plan.files())
    assert len(files) == len(entries)
    keys = [annex.key_of(file.entry, file.url) for file in files]
    (batch,) = plan.batches()
    found = annex_keys(batch, plan)
    assert found.to_pylist() == keys
    assert annex.log_stems(found) == [annex.log_stem(key).encode() for key in keys]
    targets = [link_of(key, file.path).encode() for key, file in zip(keys, files, strict=True)]
    assert annex.symlink_targets(batch["path"], found) == targets


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("a.feather", ""),
        ("x.swc.b-c.gz", ".swc.gz"),
        (".gz", ""),
        (".x.gz", ".gz"),
        ("a.jpeg", ".jpeg"),
        ("folder.gz/a", ""),
        ("a.", ""),
        ("a.日本", ""),
        ("a.é", ".é"),
    ],
)
def test_an_extension(name, extension):
    """At most two dotted parts of at most four bytes each, from the end; what hides a file is none."""
    assert annex.extension_of(name) == extension


def test_keys_are_best_first():
    """SHA256E before MD5E before URL, each with what is known of the size; the URL key also with the time."""
    entry = entry_of("a/b.swc", known="both")
    seconds = int(entry.last_modified.timestamp())
    assert annex.keys_of(entry, "http://h/a") == (
        f"SHA256E-s1--{hashlib.sha256(b'x').hexdigest()}.swc",
        f"MD5E-s1--{MD5}.swc",
        f"URL-s1-m{seconds}--http://h/a",
    )
    assert annex.key_of(entry, "http://h/a").startswith("SHA256E-")


def test_what_is_unknown_is_not_in_the_key():
    """An object of unknown size and time has neither in its key."""
    entry = entry_of("a", known=None, size_bytes=None, last_modified=None)
    assert annex.keys_of(entry, "http://h/a") == ("URL--http://h/a",)


def test_an_overwritten_object_has_another_url_key():
    """Without a digest, the same size at another time is another key: git-annex would offer the old bytes for it."""
    before, after = (entry_of("a", known=None, day=day) for day in (0, 1))
    assert annex.key_of(before, "http://h/a") != annex.key_of(after, "http://h/a")


def test_a_time_before_1970_still_makes_a_key(clone):
    """Whatever time a listing states, git-annex takes the key for one."""
    entry = entry_of("a", known=None, last_modified=datetime(1969, 12, 31, tzinfo=UTC))
    key = annex.key_of(entry, "http://h/a")
    assert git_text(clone, "annex", "examinekey", key, "--format=${key}") == key


def test_symlinks_are_git_annexs(clone):
    """`git annex fromkey` makes the same links, at every depth and for keys with letters that file names escape."""
    url_key = annex.key_of(entry_of("x", known=None), URLS[2])
    wanted = {
        "a.swc": AnnexKey(f"SHA256E-s1--{SHA256}.swc"),
        "d/e/f/a.swc": AnnexKey(f"MD5E-s1--{MD5}.swc"),
        "d/url": url_key,
        "colon": AnnexKey("URL-s3--http://h:1/a%b&c"),
        "é/日本": AnnexKey(f"SHA256E-s1--{SHA256}.é"),
    }
    for path, key in wanted.items():
        git(clone, "annex", "fromkey", "--force", "--quiet", key, path)
    found = {path: str((clone / path).readlink()) for path in wanted}
    assert found == {path: link_of(key, path) for path, key in wanted.items()}


def test_url_keys_are_git_annexs(clone):
    """A URL becomes a key's name as `git annex addurl` does it, cut and hashed if it is long."""
    for index, url in enumerate(URLS):
        git(clone, "annex", "addurl", "--relaxed", "--quiet", f"--file=f{index}", url)
    keys = [git_text(clone, "annex", "lookupkey", f"f{index}") for index in range(len(URLS))]
    ours = [annex.key_of(entry_of("a", known=None, size_bytes=None, last_modified=None), url) for url in URLS]
    # Newer ones make VURL keys, whose names are made the same way.
    assert [key.partition("--")[2] for key in keys] == [key.partition("--")[2] for key in ours]


@pytest.fixture
def logged(tmp_path):
    """A clone of a repository whose git-annex branch we wrote: one key on the web, one withdrawn, one in two places."""
    repository = Repository(tmp_path / "r.git")
    repository.create()
    keys = {
        "there": AnnexKey(f"SHA256E-s1--{SHA256}.swc"),
        "gone": AnnexKey(f"MD5E-s1--{MD5}"),
        "twice": annex.key_of(entry_of("x", known=None), URLS[2]),
    }
    logs = {
        "there": (annex.location_log(1700000000, present=True), [(f"{BASE}a%20b?versionId=1", 1700000000, True)]),
        "gone": (annex.location_log(1700000001, present=False), [(f"{BASE}c", 1700000001, False)]),
        "twice": (
            annex.location_log(1700000002, present=True),
            [(f"{BASE}e", 1700000002, True), (f"{BASE}d", 1600000000, True), (f"{BASE}f", 1700000002, False)],
        ),
    }
    with repository.writer() as writer:
        entries = []
        for name, (location, urls) in logs.items():
            stem = annex.log_stem(keys[name]).encode()
            entries.append(TreeEntry(stem + b".log", FILE, writer.add(b"blob", location)))
            entries.append(TreeEntry(stem + b".log.web", FILE, writer.add(b"blob", annex.web_log(urls))))
        trees = {"main": write_tree(writer, []), "git-annex": write_tree(writer, sorted(entries))}
        commits = {
            name: hex_id(writer.add(b"commit", Commit(tree=tree, parents=(), time=1700000002, message="x").body()))
            for name, tree in trees.items()
        }
    repository.update_refs({f"refs/heads/{name}": commit for name, commit in commits.items()})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", repository.path, clone)
    git(clone, "annex", "init", "--quiet")
    return clone, keys


def test_whereis_reads_our_logs(logged):
    """`git annex whereis` offers exactly the URLs with status 1, and nothing for a key that was withdrawn."""
    clone, keys = logged
    offered = {}
    for name, key in keys.items():
        command = ["git", "annex", "whereis", "--json", f"--key={key}"]
        said = subprocess.run(command, cwd=clone, capture_output=True, check=False).stdout
        places = json.loads(said)["whereis"]
        assert all(place["uuid"] == annex.WEB_UUID for place in places)
        offered[name] = sorted(url for place in places for url in place["urls"])
    assert offered == {"there": [f"{BASE}a%20b?versionId=1"], "gone": [], "twice": [f"{BASE}d", f"{BASE}e"]}


def test_log_reads_our_logs(logged):
    """`git annex log --all` has a line for each key that came to the web, at the time of the commit that says so."""
    clone, keys = logged
    said = git_text(clone, "annex", "log", "--all", "--raw-date").splitlines()
    assert sorted(said) == sorted(f"+ 1700000002 {keys[name]} | {annex.WEB_UUID} -- web" for name in ("there", "twice"))


def test_one_location_log_for_all():
    """Files of one time share one blob: 24 bytes less, a million times."""
    assert annex.location_log(5, present=True) == f"5s 1 {annex.WEB_UUID}\n".encode()
    assert annex.location_log(5, present=False) == f"5s 0 {annex.WEB_UUID}\n".encode()


URL = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(BASE.__add__)
LOG = st.dictionaries(URL, st.tuples(st.integers(0, 1 << 40), st.booleans()))


@given(LOG)
def test_a_url_log_reads_back(log):
    """read(write(log)) == log, and the lines are in the order of their bytes."""
    data = annex.web_log((url, time, offered) for url, (time, offered) in log.items())
    assert annex.parse_web_log(data) == log
    urls = [line.split(b" ", 2)[2] for line in data.splitlines()]
    assert urls == sorted(urls)


def test_of_two_lines_the_newer_counts():
    """A merged log, in git-annex's own form with fractions of seconds: the newest line of a URL tells."""
    log = b"1600000000.25s 1 http://h/a\n1700000000s 0 http://h/a\n1500000000s 1 http://h/b\n"
    assert annex.parse_web_log(log) == {"http://h/a": (1700000000, False), "http://h/b": (1500000000, True)}
