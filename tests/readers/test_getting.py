"""Contents brought into clones: git-annex finds them here and sound, whatever the files and the failures are."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess

import pytest

from opendata_pkg.annex import key_of_link, location_in, location_log_with
from opendata_pkg.cache.wanted import WrongBytesError
from opendata_pkg.git.content import AnnexClone, NotACloneError
from opendata_pkg.model import NotFoundError, UsageError
from opendata_pkg.readers.getting import NotAllGotError, WrongContentError, get
from opendata_pkg.web.transport import OfflineError, RefusedError
from tests.clone_support import CONTENTS, FIRST, LATER, SECOND, Listener, fill_bucket, make_clone, publish_contents
from tests.core_support import git, git_text

RAT = {path.removeprefix("Rat/"): text for path, text in CONTENTS.items() if path.startswith(("Rat/cell", "Rat/raw"))}


@pytest.fixture
def bucket(tmp_path, static_server, git_identity):
    """A folder that a web server serves, the store made of it, and the address."""
    fill_bucket(tmp_path / "bucket", CONTENTS)
    base = f"{static_server(tmp_path / 'bucket')}/"
    publish_contents(tmp_path / "store", FIRST, CONTENTS, base)
    return base


@pytest.fixture
def rat(bucket, tmp_path):
    """A clone of one dataset."""
    return make_clone("Rat", tmp_path / "store", tmp_path / "rat").folder


def annex(clone, *words):
    """What git-annex prints, which must end well and have nothing to remark."""
    done = subprocess.run(["git", "annex", *words], cwd=clone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (words, done.stdout, done.stderr)
    return done.stdout


def here(clone):
    """The files whose content git-annex has here, by what is on disk and, which must agree, by its logs."""
    found = set(annex(clone, "find", "--in=here", "--print0").split("\0")[:-1])
    records = map(json.loads, annex(clone, "whereis", "--json").splitlines())
    assert found == {record["file"] for record in records if any(place["here"] for place in record["whereis"])}
    return found


def check_sound(clone, expected):
    """git-annex, git and the file system all find exactly these contents."""
    assert here(clone) == set(expected)
    for path, text in expected.items():
        assert (clone / path).read_text(encoding="utf-8") == text
    checked = [json.loads(line) for line in annex(clone, "fsck", "--json").splitlines()]
    assert {record["file"] for record in checked if record["success"]} >= set(expected)
    assert not [record for record in checked if record["error-messages"]]
    assert git_text(clone, "status", "--porcelain") == ""


def test_all(rat):
    """All contents come, once for files that are alike, and are kept as git-annex keeps them."""
    listener = Listener()
    result = get(cwd=rat, reporter=listener)
    assert (result.files, result.here, result.failures) == (len(RAT), 0, {})
    assert result.size_bytes == sum(map(len, set(RAT.values())))
    check_sound(rat, RAT)
    for path in (rat / ".git/annex/objects").rglob("*"):
        depth = len(path.relative_to(rat / ".git/annex/objects").parts)
        expected = {3: 0o555, 4: 0o444}.get(depth, 0o755)
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert list((rat / ".git/annex/tmp").iterdir()) == []
    again = get(cwd=rat)
    assert (again.files, again.here) == (0, len(RAT))


def test_same_as_git_annex(rat, tmp_path):
    """What is on disk and in the logs is what `git annex get` leaves."""
    other = make_clone("Rat", tmp_path / "store", tmp_path / "other").folder
    git(other, "config", "annex.security.allowed-ip-addresses", "127.0.0.1")
    get(cwd=rat)
    subprocess.run(["git", "annex", "get", "--quiet", "."], cwd=other, check=True)
    trees = []
    for clone in (rat, other):
        objects = clone / ".git/annex/objects"
        trees.append({str(path.relative_to(objects)): path.stat().st_mode for path in objects.rglob("*")})
        assert not any((clone / ".git/annex/journal").iterdir())
        uuid = git_text(clone, "config", "annex.uuid")
        logs = git_text(clone, "ls-tree", "-r", "--name-only", "git-annex").splitlines()
        present = [
            name for name in logs if name.endswith(".log") and "/" in name and f" 1 {uuid}" in read_log(clone, name)
        ]
        assert len(present) == len(set(RAT.values()))
    assert trees[0] == trees[1]


def read_log(clone, name):
    """A file of the git-annex branch."""
    return git_text(clone, "cat-file", "blob", f"git-annex:{name}")


def test_paths(rat):
    """Files and folders can be named, from any folder of the clone; others stay as they are."""
    get(["trace#1.h5", "../cell 3.swc"], cwd=rat / "raw")
    assert here(rat) == {"raw/trace#1.h5", "cell 3.swc"}
    get(["raw"], cwd=rat)
    assert here(rat) == {"raw/trace#1.h5", "raw/twin of cell 1.swc", "cell 1.swc", "cell 3.swc"}
    with pytest.raises(NotFoundError, match="no file or folder"):
        get(["nothing"], cwd=rat)
    with pytest.raises(NotACloneError, match="change into a clone"):
        get(cwd=rat.parent)


def test_drop_and_get_again(rat):
    """What git-annex drops comes back."""
    get(cwd=rat)
    annex(rat, "drop", "--quiet", "--force", "cell 3.swc")
    assert get(cwd=rat).files == 1
    check_sound(rat, RAT)


def test_subdatasets(bucket, tmp_path):
    """Installed subdatasets are gone into; those that are not are named."""
    whole = make_clone(".", tmp_path / "store", tmp_path / "whole", recursive=True).folder
    result = get(cwd=whole)
    assert result.files == len(CONTENTS)
    check_sound(whole / "Rat/Deep/Layer", {"d.swc": CONTENTS["Rat/Deep/Layer/d.swc"]})
    assert git_text(whole, "status", "--porcelain") == ""
    top = make_clone(".", tmp_path / "store", tmp_path / "top").folder
    listener = Listener()
    assert get(cwd=top, reporter=listener).files == 1
    assert listener.messages[0] == f"not installed: 2 subdatasets; datalad get -n {top / 'Mouse'} installs one"


def test_only_some(bucket, tmp_path):
    """A selection's files are got, in whichever dataset they are."""
    made = make_clone(".", tmp_path / "store", tmp_path / "some", include=("*1.swc",), recursive=True)
    assert get([made.folder], only={made.folder / path for path in made.selected}).files == 3
    assert here(made.folder / "Rat") == {"cell 1.swc", "cell 11.swc", "raw/twin of cell 1.swc"}


def test_sparse(bucket, tmp_path):
    """In a sparse clone, only what is checked out is got."""
    clone = make_clone("Rat", tmp_path / "store", tmp_path / "sparse", include=("*1.swc",), sparse=True).folder
    assert get(cwd=clone).files == 3
    assert git_text(clone, "status", "--porcelain") == ""
    with pytest.raises(NotFoundError, match="git sparse-checkout add /PATH brings more"):
        get(["cell 3.swc"], cwd=clone)
    git(clone, "sparse-checkout", "add", "/cell 3.swc")
    assert get(["cell 3.swc"], cwd=clone).files == 1
    assert git_text(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("way", ["unlock", "adjust"])
def test_unlocked(way, rat):
    """Unlocked files, one by one or in an adjusted git branch, are filled in, and git finds them unchanged."""
    if way == "adjust":
        git(rat, "annex", "adjust", "--unlock", "--quiet")
    else:
        annex(rat, "unlock", "--quiet", ".")
        git(rat, "commit", "--quiet", "--message", "unlocked")
    result = get(cwd=rat)
    assert result.files == len(RAT)
    assert not (rat / "cell 1.swc").is_symlink()
    check_sound(rat, RAT)
    (rat / "cell 1.swc").write_text("changed by me\n")
    assert git_text(rat, "status", "--porcelain") == ' M "cell 1.swc"'
    assert (rat / "raw/twin of cell 1.swc").read_text() == RAT["cell 1.swc"]


def test_changed_pointer_stays(rat):
    """A file that a person has changed before its old content came keeps what they wrote."""
    annex(rat, "unlock", "--quiet", "cell 1.swc")
    git(rat, "commit", "--quiet", "--message", "unlocked")
    (rat / "cell 1.swc").write_text("mine\n")
    get(cwd=rat)
    assert (rat / "cell 1.swc").read_text() == "mine\n"


def test_wrong_bytes(rat, tmp_path):
    """Bytes that are not what the key says are refused and not kept; the others come."""
    (tmp_path / "bucket/Rat/cell 3.swc").write_text("1 1 0 0 0 x -1\n")
    result = get(cwd=rat)
    assert list(result.failures) == [str(rat / "cell 3.swc")]
    assert isinstance(result.failures[str(rat / "cell 3.swc")], WrongBytesError)
    check_sound(rat, {path: text for path, text in RAT.items() if path != "cell 3.swc"})
    with pytest.raises(WrongContentError, match=r"1 file could not be had, such as .*cell 3\.swc"):
        result.check_complete()


def test_gone(rat, tmp_path):
    """What is gone from the bucket is told of with its address; nothing is left of the attempt."""
    (tmp_path / "bucket/Rat/cell 3.swc").unlink()
    result = get(["cell 3.swc"], cwd=rat)
    assert isinstance(result.failures[str(rat / "cell 3.swc")], RefusedError)
    with pytest.raises(NotAllGotError, match="HTTP 404"):
        result.check_complete()
    assert [path for path in (rat / ".git/annex/objects").rglob("*") if not any(path.iterdir())] != []
    assert git_text(rat, "status", "--porcelain") == ""


def test_resumed(rat):
    """A part that an earlier attempt (ours or git-annex's) left is gone on from, and dropped if it is wrong."""
    key = key_of_link((rat / "cell 3.swc").readlink().as_posix().encode())
    part = rat / ".git/annex/tmp" / key
    part.parent.mkdir()
    part.write_text("1 1 0")
    (rat / ".git/annex/tmp" / key_of_link((rat / "cell 4.swc").readlink().as_posix().encode())).write_text("wrong")
    get(cwd=rat)
    check_sound(rat, RAT)


def test_untold(rat):
    """Contents that came before a crash, of which git-annex was not told, are made known by the next get."""
    get(["cell 3.swc"], cwd=rat)
    uuid = git_text(rat, "config", "annex.uuid")
    key = AnnexClone(rat).listing(["cell 3.swc"]).files[0].key
    annex(rat, "setpresentkey", key, uuid, "0")
    assert "[here]" not in annex(rat, "whereis", "cell 3.swc")
    (rat / ".git/annex/opendata-get").touch()
    get(["cell 3.swc"], cwd=rat)
    assert here(rat) == {"cell 3.swc"}
    assert not (rat / ".git/annex/opendata-get").exists()


def test_told_of_meanwhile(rat):
    """What git-annex writes to its branch while contents come is kept beside what is told of them."""
    key = AnnexClone(rat).listing(["cell 3.swc"]).files[0].key
    other = "11111111-2222-3333-4444-555555555555"

    class Meddler(Listener):
        """Tells of another copy as soon as there are bytes."""

        def advance(self, *_):
            if not self.messages:
                self.message("told")
                annex(rat, "setpresentkey", key, other, "1")
                annex(rat, "merge", "--quiet")

    get(["cell 3.swc"], cwd=rat, reporter=Meddler())
    (known,) = map(json.loads, annex(rat, "whereis", "--json", "cell 3.swc").splitlines())
    assert {place["uuid"] for place in known["whereis"]} >= {other, git_text(rat, "config", "annex.uuid")}


def test_a_folder_for_content_that_leads_nowhere(rat):
    """A link to a disk that is not there is an error, not an endless search."""
    (rat / ".git/annex/objects").symlink_to("/nowhere/objects")
    with pytest.raises(OSError, match="No such file or directory"):
        get(["cell 3.swc"], cwd=rat)


def test_left_uncommitted(rat):
    """Who does not want git-annex to commit by itself gets what git-annex's own command does."""
    git(rat, "config", "annex.alwayscommit", "false")
    before = git_text(rat, "rev-parse", "git-annex")
    get(cwd=rat)
    assert here(rat) == set(RAT)
    git(rat, "config", "--unset", "annex.alwayscommit")
    assert (
        git_text(rat, "rev-parse", f"git-annex~{git_text(rat, 'rev-list', '--count', f'{before}..git-annex')}")
        == before
    )
    check_sound(rat, RAT)


def test_newest_line_counts():
    """A location log says that content is here, whatever older and later times stand in it; others' lines stay."""
    log = b"5s 1 other\n9999999999s 0 mine\n7s 1 mine\n"
    assert location_in(log, b"mine") == (9999999999.0, False)
    assert location_log_with(log, b"mine", 100.0) == b"5s 1 other\n10000000000.000000s 1 mine\n"
    assert location_log_with(b"", b"mine", 100.25) == b"100.250000s 1 mine\n"


def test_keys_without_sha256(tmp_path, static_server, git_identity):
    """MD5 keys are checked against it, URL keys by size; where only secure keys are allowed, neither is got."""
    fill_bucket(tmp_path / "bucket", CONTENTS)
    base = f"{static_server(tmp_path / 'bucket')}/"
    publish_contents(tmp_path / "store", FIRST, CONTENTS, base, known="md5")
    clone = make_clone("Rat", tmp_path / "store", tmp_path / "rat").folder
    git(clone, "config", "annex.securehashesonly", "true")
    assert len(get(cwd=clone).failures) == len(RAT)
    git(clone, "config", "--unset", "annex.securehashesonly")
    assert get(cwd=clone).failures == {}
    check_sound(clone, RAT)


def test_new_urls(bucket, tmp_path, static_server):
    """What the store says since, and git has fetched, counts: the git-annex branch of the remote is merged first."""
    clone = make_clone("Rat", tmp_path / "store", tmp_path / "rat").folder
    shutil.move(tmp_path / "bucket", tmp_path / "moved")
    base = f"{static_server(tmp_path / 'moved')}/"
    publish_contents(tmp_path / "store", SECOND, CONTENTS | LATER, base)
    assert len(get(cwd=clone).failures) == len(RAT)
    git(clone, "fetch", "--quiet")
    assert get(cwd=clone).failures == {}
    check_sound(clone, RAT)


def test_plain_git_clone(bucket, tmp_path):
    """A clone by plain git, not yet an annex, is made one."""
    git(tmp_path, "clone", "--quiet", str(tmp_path / "store/git/rat.git"), "plain")
    assert get(cwd=tmp_path / "plain").files == len(RAT)
    check_sound(tmp_path / "plain", RAT)


def test_other_ways_of_keeping(rat):
    """Where content is kept as only git-annex knows, it is left to git-annex."""
    git(rat, "config", "core.sharedRepository", "group")
    with pytest.raises(UsageError, match=r"core\.sharedRepository set"):
        get(cwd=rat)


def test_own_files(rat):
    """A person's own annexed files need nothing."""
    (rat / "own.dat").write_text("own\n")
    annex(rat, "add", "--quiet", "own.dat")
    git(rat, "commit", "--quiet", "--message", "own")
    assert get(["own.dat"], cwd=rat).here == 1


def test_offline(rat):
    """Offline, every file that is not here fails, and none is asked for."""
    result = get(["cell 3.swc"], cwd=rat, offline=True)
    assert isinstance(result.failures[str(rat / "cell 3.swc")], OfflineError)


def test_private_addresses(rat):
    """Where stock tools would refuse the server, the exact setting is said, and not set; once set, nothing is said."""
    listener = Listener()
    get(["cell 3.swc"], cwd=rat, reporter=listener)
    (said,) = listener.messages
    setting = said.partition("git config ")[2].split()
    assert setting == ["annex.security.allowed-ip-addresses", "127.0.0.1"]
    assert "annex.security" not in git_text(rat, "config", "--local", "--list")
    git(rat, "config", *setting)
    quiet = Listener()
    get(["raw"], cwd=rat, reporter=quiet)
    assert quiet.messages == []
    annex(rat, "drop", "--quiet", "cell 3.swc")
    annex(rat, "get", "--quiet", "cell 3.swc")
