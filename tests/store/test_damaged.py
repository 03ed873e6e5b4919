"""Stores that somebody has written to, or a disk has damaged: said before anything is published, and nothing is lost."""

import shutil

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.git.foreign import ForeignCommitError
from opendata_pkg.git.repository import BrokenRepositoryError
from opendata_pkg.store.places import BrokenStoreError
from opendata_pkg.store.store import Store
from tests.core_support import (
    catalogue_of,
    every_ref,
    git,
    git_text,
    publish,
    published,
    repository_of,
    snapshot_of,
)

KEYS = (*(f"Rat/{number}" for number in range(20)), "Mouse/c", "d")
NEXT = (*KEYS, "Rat/new")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A store with two releases."""
    store = tmp_path_factory.mktemp("damaged") / "store"
    publish(store, "1.0.0", snapshot_of(*KEYS[1:]))
    publish(store, "2.0.0", snapshot_of(*KEYS))
    return store


@pytest.fixture
def store(released, tmp_path):
    """A copy of it."""
    return shutil.copytree(released, tmp_path / "store")


@pytest.fixture
def drafted(store):
    """The same with a draft of a next release, in which one file of the rats is new."""
    build(snapshot_of(*NEXT), catalogue_of(), store)
    return store


def cut(path):
    """Leave the first half of a file."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def packs(store):
    """The packs of the rats, newest last."""
    folder = repository_of(store, "rat") / "objects" / "pack"
    return sorted(folder.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)


def refuses(store, error, says):
    """Fail the test unless the release is refused and readers see what they saw; and it can be built again."""
    before, refs = published(store), every_ref(store)
    with pytest.raises(error, match=says):
        release("3.0.0", store)
    assert (published(store), every_ref(store)) == (before, refs)
    assert Store.open(store).unfinished_release() is None


DAMAGE = {
    "a pack is gone": lambda store: packs(store)[-1].unlink(),
    "its index is gone": lambda store: packs(store)[-1].with_suffix(".idx").unlink(),
    "a pack is cut short": lambda store: cut(packs(store)[-1]),
    "an index is cut short": lambda store: cut(packs(store)[-1].with_suffix(".idx")),
    "an old pack is gone": lambda store: packs(store)[0].unlink(),
    "an old pack is cut short": lambda store: cut(packs(store)[0]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_packs_damaged_after_the_build(drafted, damage):
    """What was built, or released before, is not there any more: no ref is advanced to what nobody can read."""
    damage(drafted)
    says = (
        r"rat\.git does not hold all that was released and built \(git rev-list failed .*: nothing was released; build"
    )
    refuses(drafted, BrokenRepositoryError, f"(?s){says}")


NEW_DAMAGE = [name for name in DAMAGE if "old" not in name]


@pytest.mark.parametrize("damage", NEW_DAMAGE)
def test_a_draft_whose_pack_is_damaged_is_built_again(drafted, damage):
    """As the sentence says: the same pack is written anew, and takes the place of the one that is damaged."""
    DAMAGE[damage](drafted)
    publish(drafted, "3.0.0", snapshot_of(*NEXT))
    assert git_text(repository_of(drafted, "rat"), "fsck", "--strict", "--full") == ""


@pytest.mark.parametrize("name", ["rat", "rat/datapackage.json", "rat/registry.txt"])
def test_a_draft_that_lacks_something(drafted, name):
    """Of what is to be published: said before the release begins, and a new build makes it again."""
    path = drafted / "draft" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refuses(drafted, BrokenStoreError, "expected .*, which was built, found none: nothing was released; build again")
    publish(drafted, "3.0.0", snapshot_of(*NEXT))


def test_a_draft_cut_short(drafted):
    """Its index: with what to do, whether a release was interrupted or not; its list of packs is not needed."""
    cut(drafted / "draft" / "packs.json")
    copy = shutil.copytree(drafted, drafted.with_name("copy"))
    release("3.0.0", copy)
    cut(drafted / "draft" / "index.json")
    says = r"draft/index\.json: at \$: expected a JSON document: .* if no release was interrupted, remove .*draft and build"
    with pytest.raises(BrokenStoreError, match=says):
        build(snapshot_of(*NEXT), catalogue_of(), drafted)
    shutil.rmtree(drafted / "draft")
    publish(drafted, "3.0.0", snapshot_of(*NEXT))
    assert every_ref(drafted) == every_ref(copy)


@pytest.mark.usefixtures("git_identity")
@pytest.mark.parametrize("packed", [False, True])
def test_somebody_has_set_the_tag(drafted, packed):
    """A tag of theirs with the version's name is kept; they may rename it, or another version be released."""
    repository = repository_of(drafted, "rat")
    git(repository, "tag", "3.0.0", git_text(repository, "commit-tree", "-m", "mine", "main^{tree}"))
    if packed:
        git(repository, "pack-refs", "--all")
    refuses(drafted, ForeignCommitError, r"expected no tag 3\.0\.0 in .*rat\.git yet, got .*: somebody has written")
    release("3.1.0", drafted)


def test_a_repository_that_is_gone(store):
    """It is said, not made anew without its history."""
    shutil.rmtree(repository_of(store, "rat"))
    with pytest.raises(
        BrokenRepositoryError, match=r"expected a repository at .*rat\.git, found none: restore the store"
    ):
        build(snapshot_of(*NEXT), catalogue_of(), store)
    assert not repository_of(store, "rat").exists()


def test_a_folder_in_the_place_of_a_ref(store):
    """No ref, then."""
    main = repository_of(store, "rat") / "refs" / "heads" / "main"
    main.unlink()
    main.mkdir()
    with pytest.raises(ForeignCommitError, match="as last released, got none"):
        build(snapshot_of(*NEXT), catalogue_of(), store)


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_an_old_snapshot_that_cannot_be_read(store, harm):
    """Paths depend on the keys of all releases: the file is named, and nothing is built."""
    path = Store.open(store).snapshot_path(Store.open(store).release("1.0.0").snapshot)
    path.unlink() if harm == "gone" else cut(path)
    with pytest.raises(
        BrokenStoreError, match=rf"{path.name} is not as it was released \(.*\), and paths depend on it"
    ):
        build(snapshot_of(*NEXT), catalogue_of(), store)


def test_a_tag_that_is_lost(drafted):
    """Of an earlier release: readers over the web cannot be told of it, and it is said what to restore; then it goes on."""
    repository = repository_of(drafted, "rat")
    tag = git_text(repository, "rev-parse", "refs/tags/1.0.0")
    path = repository / "objects" / tag[:2] / tag[2:]
    path.rename(drafted.parent / "tag")
    with pytest.raises(
        BrokenRepositoryError, match=r"git cannot list the refs of .*rat\.git for readers .*: restore what"
    ):
        release("3.0.0", drafted)
    assert Store.open(drafted).versions() == ["1.0.0", "2.0.0"]
    (drafted.parent / "tag").rename(path)
    release("3.0.0", drafted)


@pytest.mark.parametrize("text", ["", "\n", "1.0.0\n*\n../pack-1\n"])
def test_a_note_of_superseded_packs_that_is_none(drafted, text):
    """Nothing is removed that it does not name as a pack."""
    (repository_of(drafted, "rat") / "objects" / "info" / "opendata-superseded").write_text(text)
    release("3.0.0", drafted)
    assert git_text(repository_of(drafted, "rat"), "fsck", "--strict", "--full") == ""
