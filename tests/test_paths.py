"""Keys as paths: every key has one, no two share one, each can be read back, and no file system refuses it."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.catalogue.branch import path_fault
from opendata_pkg.paths import MAX_PART_BYTES, RESERVED, Naming, fold, relative_key
from opendata_pkg.plan.clashes import find_clashes

NASTY = (
    *(
        "",
        ".",
        "..",
        "...",
        ".git",
        ".GIT",
        ".Git ",
        "git~1",
        "GI7EBA~1",
        "MAILMA~1",
        "DATALA~2",
        ".g\u200cit",
        ".gitmodules",
    ),
    *(
        "%",
        "%%",
        "%file",
        "%dir",
        "%empty",
        "%more",
        "%41",
        "a%file",
        "a%more",
        "a",
        "A",
        "b",
        "B",
        "Mouse",
        "mouse",
        "Rat",
    ),
    *(
        "datapackage.json",
        "_opendata",
        "DataPackage.json",
        "_OPENDATA",
        ".noannex",
        ".datalad",
        ".mailmap",
        "con",
        "a\\b",
    ),
    *("x" * 255, "x" * 256, "x" * 700, "é" * 127, "é" * 128, "é" * 200, "%" * 84, "%" * 200, "\n" * 90, "日" * 85),
    *(
        "a" * 249 + ".git",
        "x" * 250 + ".git",
        "é",
        "e\u0301",
        "K",
        "\u212a",
        "ß",
        "ẞ",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff.git",
    ),
)
PIECE = st.one_of(st.text(st.characters(codec="utf-8"), max_size=8), st.sampled_from(NASTY))
KEY = st.lists(PIECE, min_size=1, max_size=5).map("/".join).filter(bool)
MOUNTS = st.sampled_from([(), ("b", "Mouse/Rat"), ("é",), ("x" * 255 + "/a",), ("a%",)])


def folders_of(key):
    """The folders that a key is in, without their last slashes."""
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def naming_for(keys, mounts=(), *, file_first=()):
    """A naming as a plan makes it for these keys: names that are both a file and a folder among them are renamed."""
    folders = {folder for key in keys for folder in folders_of(key)}
    clashes = folders & set(keys)
    return Naming(
        prefix="",
        mounts=mounts,
        renamed_files=frozenset(clashes - set(file_first)),
        renamed_folders=frozenset(clashes & set(file_first)),
    )


def assert_sound(path, mounts=()):
    """A path that git, and any usual file system, can hold beside what is ours."""
    parts = path.split("/")
    for part in parts:
        assert part not in {"", ".", ".."}
        assert len(part.encode()) <= MAX_PART_BYTES
        assert not part.casefold().startswith((".git", ".mailmap", ".datalad"))
        assert not any(ord(sign) < 32 or ord(sign) == 127 or sign == "\\" for sign in part)
    assert fold(parts[0]) not in RESERVED
    folded = {fold(mount) for mount in mounts}
    assert not any(fold("/".join(parts[:count])) in folded for count in range(1, len(parts) + 1))


@settings(max_examples=700)
@given(st.lists(KEY, min_size=1, max_size=6, unique=True), MOUNTS, st.randoms(use_true_random=False))
@example(["a%file", "a", "a/b"], (), None)
@example(["a%dir/b", "a/b", "a"], (), None)
@example(["/", "//", "//a"], (), None)
@example(["b", "%62", "B", "b/c"], ("b",), None)
@example(["x" * 300, "x" * 251 + "%more/" + "x" * 49, "x" * 251 + "/" + "x" * 49], (), None)
def test_keys_have_paths_of_their_own(keys, mounts, choice):
    """Sound, back to the key, and no two keys at one path or one below the other, whichever of two clashing was first."""
    first = keys if choice is None else [key for key in keys if choice.random() < 0.5]
    naming = naming_for(keys, mounts, file_first=first)
    paths = {naming.path_of(key): key for key in keys}
    assert len(paths) == len(keys)
    for path, key in paths.items():
        assert relative_key(path) == key
        assert_sound(path, mounts)
        assert not any(folder in paths for folder in folders_of(path))


@given(KEY, KEY.map(lambda key: f"Rat/{key}"))
def test_a_branch_names_its_keys_from_its_own_folder(key, whole):
    """Paths are relative to the branch: what is ours is so at the root of each dataset, whatever the branch's own name."""
    assert Naming(prefix="Rat/").path_of(f"Rat/{key}") == Naming(prefix="").path_of(key)
    assert relative_key(Naming(prefix="Rat/").path_of(whole)) == whole.removeprefix("Rat/")


@given(st.text(st.sampled_from("abcXYZ019 _-+=,.'()@&$!é日"), min_size=1, max_size=40))
def test_usual_names_stay(name):
    """Letters of any script, digits, blanks and the signs that people use in names: letter by letter."""
    if not name.startswith("."):
        assert Naming(prefix="").path_of(f"a/{name}") == f"a/{name}"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b/D'Angelo+é=1.json", "a b/D'Angelo+é=1.json"),
        ("100%.txt", "100%25.txt"),
        ("two\nlines", "two%0Alines"),
        ("back\\slash", "back%5Cslash"),
        ("a//b", "a/%empty/b"),
        ("/a", "%empty/a"),
        ("a/", "a/%empty"),
        ("./a/../b", "%2E/a/%2E%2E/b"),
        (".gitattributes", "%2Egitattributes"),
        ("x/.GIT/config", "x/%2EGIT/config"),
        ("git~1", "%67it~1"),
        ("GI7EBA~1/x", "%47I7EBA~1/x"),
        ("MAILMA~1", "%4DAILMA~1"),
        ("Datala~2", "%44atala~2"),
        ("digit~1", "digit~1"),
        (".g\u200cit/config", "%2Eg\u200cit/config"),
        ("\ufeff.gitmodules", "%EF%BB%BF.gitmodules"),
        (".mailmap", "%2Emailmap"),
        (".datalad/config", "%2Edatalad/config"),
        ("datapackage.json", "%64atapackage.json"),
        ("DataPackage.JSON", "%44ataPackage.JSON"),
        ("sub/datapackage.json", "sub/datapackage.json"),
        ("_opendata/x", "%5Fopendata/x"),
        (".noannex", "%2Enoannex"),
        ("Mouse", "%4Douse"),
        ("mouse/x", "%6Douse/x"),
        ("Deep/layer/x", "Deep/%6Cayer/x"),
        ("deep/Layer/x", "deep/%4Cayer/x"),
        ("notes", "notes%file"),
        ("notes/a", "notes/a"),
        ("was", "was"),
        ("was/a", "was%dir/a"),
        ("\u2028", "%E2%80%A8"),
        ("\x85", "%C2%85"),
        ("README.md", "README.md"),
        ("é/e\u0301", "é/e\u0301"),
    ],
)
def test_the_rules(key, path):
    """Each rule of docs/explanation/paths.md, by example: a change here moves files under people's papers."""
    naming = Naming(
        prefix="",
        mounts=("Mouse", "Deep/Layer"),
        renamed_files=frozenset(["notes"]),
        renamed_folders=frozenset(["was"]),
    )
    assert naming.path_of(key) == path
    assert relative_key(path) == key


def test_long_names_go_on_below():
    """A name of over 255 bytes is cut between characters; each part but the last says that it goes on."""
    path = Naming(prefix="").path_of("é" * 200 + "/b")
    first, second, last = path.split("/")
    assert (first, last) == ("é" * 125 + "%more", "b")
    assert second.startswith("%C3%A9é")
    assert relative_key(path) == "é" * 200 + "/b"


MOUNTED = st.lists(st.text(st.sampled_from("aAbZ%x ~1é.-"), min_size=1, max_size=5), min_size=1, max_size=3)


@given(MOUNTED.map("/".join).filter(lambda mount: path_fault(mount) is None))
@example("a%")
@example("a%41")
def test_a_mount_has_no_path_in_common_with_a_key(mount):
    """No key of the parent lies at a child's mount or below it, whatever a catalogue may call the two."""
    naming = Naming(prefix="", mounts=(mount,))
    mounted = naming.mount_path(mount)
    for key in (mount, f"{mount}/a", mount.upper(), f"{mount.lower()}/a", mounted, f"{mounted}/a"):
        path = naming.path_of(key)
        assert path != mounted
        assert not path.startswith(f"{mounted}/")
        assert relative_key(path) == key


def test_a_branch_that_escapes_could_not_tell_apart_is_refused():
    """A mount at `%a` would lie where the key `%a` is renamed to: no branch begins so."""
    assert "expected no `%` at the beginning of '%a'" in path_fault("A/%a")


NAMES = st.sampled_from(["a", "a/b", "a/b/c", "a/c", "b", "b/", "b//", "a-b", "a.b/c", "b/a"])


def naive_clashes(releases):
    """The same decision by looking at every name of every release one after another."""
    files, folders = {}, {}
    for index, keys in enumerate(releases):
        for key in keys:
            files.setdefault(key, index)
            for folder in folders_of(key):
                folders.setdefault(folder, index)
    both = files.keys() & folders.keys()
    return {name for name in both if folders[name] <= files[name]}, {
        name for name in both if files[name] < folders[name]
    }


@given(st.lists(st.sets(NAMES), min_size=1, max_size=4))
def test_clashes_are_decided_once(releases):
    """What is renamed follows from which name came first; only names that the present release uses are spoken of."""
    columns = [pa.array(sorted(keys), pa.string()) for keys in releases]
    files, folders = find_clashes(columns[-1], columns[:-1])
    all_files, all_folders = naive_clashes(releases)
    now = releases[-1]
    in_use = now | {folder for key in now for folder in folders_of(key)}
    assert files & in_use == all_files & in_use
    assert folders & in_use == all_folders & in_use
    assert files <= all_files
    assert folders <= all_folders


@given(st.lists(st.sets(NAMES, min_size=1), min_size=2, max_size=4))
def test_a_path_never_moves(releases):
    """A key has the same path in every release that has it, and no two keys of any release ever had one path."""
    columns = [pa.array(sorted(keys), pa.string()) for keys in releases]
    seen = {}
    for index, keys in enumerate(releases):
        files, folders = find_clashes(columns[index], columns[:index])
        naming = Naming(prefix="", renamed_files=files, renamed_folders=folders)
        for key in keys:
            assert seen.setdefault(key, naming.path_of(key)) == naming.path_of(key)
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize(
    ("releases", "files", "folders"),
    [
        ([["a"], ["a", "a/b"]], set(), {"a"}),
        ([["a/b"], ["a", "a/b"]], {"a"}, set()),
        ([["a", "a/b"]], {"a"}, set()),
        ([["a"], ["b"], ["a/b"]], set(), {"a"}),
        ([["a/b"], ["b"], ["a"]], {"a"}, set()),
        ([["a", "a/b"], ["a"]], {"a"}, set()),
        ([["a"], ["a/b"], ["a/b", "a"]], set(), {"a"}),
    ],
)
def test_the_first_keeps_its_name(releases, files, folders):
    """For ever, also when it is gone; of two that came together the folder keeps it."""
    columns = [pa.array(keys, pa.string()) for keys in releases]
    assert find_clashes(columns[-1], columns[:-1]) == (files, folders)


@given(
    st.lists(KEY | NAMES, max_size=12),
    st.sampled_from(["", "Rat/"]),
    st.lists(NAMES.map(lambda name: name.strip("/")), max_size=2),
    st.frozensets(NAMES, max_size=2),
    st.frozensets(NAMES, max_size=1),
)
def test_paths_in_bulk_are_those_one_by_one(keys, prefix, mounts, files, folders):
    """Whatever the keys, the children's mounts, and the names that clash."""
    naming = Naming(
        prefix=prefix,
        mounts=tuple(mounts),
        renamed_files=frozenset(prefix + name for name in files),
        renamed_folders=frozenset(prefix + name for name in folders),
    )
    whole = [prefix + key for key in keys]
    assert naming.paths_of(pa.array(whole, pa.string())).to_pylist() == [naming.path_of(key) for key in whole]
