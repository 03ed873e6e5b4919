"""Finding a dataset of a store: by branch, former path and version; or told where else to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.catalogue.catalogue import UnknownBranchError
from opendata_pkg.plan.selection import EmptySelectionError
from opendata_pkg.store.lookup import (
    DatasetWord,
    NoObjectsError,
    NoReleaseError,
    NotADatasetWordError,
    find_dataset,
    find_in_releases,
    last_release,
    nearest_with_objects,
    parse_dataset,
)
from opendata_pkg.store.store import Store
from opendata_pkg.targets.opening import open_target
from tests.core_support import catalogue_of, publish, snapshot_of

TREE = """\
branches:
  Rat:
    branches: {Cortex: {}, Thalamus: {}, Deep/Cortex: {}}
  Mouse:
    branches: {Cortex: {}, Thalamus: {formerly: [Mouse/Thal]}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two releases; the second adds branches with objects."""
    path = tmp_path_factory.mktemp("lookup") / "store"
    publish(path, "1.0.0", snapshot_of("Rat/Cortex/a", "Rat/Cortex/b/c"), catalogue_of(TREE))
    publish(path, "1.1.0", snapshot_of("Rat/Cortex/a", "Mouse/Thalamus/a/b", "x"), catalogue_of(TREE))
    return Store.open(path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", (".", None, None)),
        (".", (".", None, None)),
        ("A/B", ("A/B", None, None)),
        ("A/B@1.0.0", ("A/B", "1.0.0", None)),
        ("@1.0.0", (".", "1.0.0", None)),
        ("A@1.0.0:x/y@z:w", ("A", "1.0.0", "x/y@z:w")),
        (":x", (".", None, "x")),
    ],
)
def test_words_are_taken_apart(text, word):
    """`[BRANCH][@VERSION][:PATH]`: no branch has an `@` or `:`, a path may."""
    assert parse_dataset(text) == DatasetWord(branch=word[0], version=word[1], path=word[2])


@pytest.mark.parametrize("text", ["A@", "A@@1", "A:", "A@1@2"])
def test_other_words_are_refused(text):
    """With what is expected."""
    with pytest.raises(NotADatasetWordError, match=r"expected .* such as Model_Data@2026.1.0, got 'A"):
        parse_dataset(text)


@pytest.mark.parametrize("url", ["s3://bucket/x", "https://example.org/store", "file:///srv/store"])
def test_a_url_is_no_branch(url):
    """It is not looked for as a branch `https`: whoever means a store is told where its URL goes."""
    with pytest.raises(NotADatasetWordError, match="a store's URL goes after --store"):
        parse_dataset(url)


TREE_PATHS = st.text("a@:/\n", min_size=1).filter(lambda path: not path.startswith("//"))


@given(st.text("ab/.", min_size=1), st.none() | st.text("01.", min_size=1), st.none() | TREE_PATHS)
def test_words_can_be_put_together_and_taken_apart(branch, version, path):
    """What is asked for is what is found, whatever the path holds."""
    text = branch + (f"@{version}" if version else "") + (f":{path}" if path else "")
    assert parse_dataset(text) == DatasetWord(branch=branch, version=version, path=path)


def test_datasets_are_found_by_branch_version_and_former_path(store):
    """In the release that is named, else in the last."""
    state, _, entry = find_in_releases(store, parse_dataset("Mouse/Thal"))
    assert (state.version, entry.branch) == ("1.1.0", "Mouse/Thalamus")
    state, _, entry = find_in_releases(store, parse_dataset("Rat/Cortex@1.0.0"))
    assert (state.version, entry.written.totals.files) == ("1.0.0", 2)


def test_a_branch_without_objects_names_the_nearest_that_have_some(store):
    """Those with most folders in common first; a dataset that had objects stays one."""
    state = last_release(store)
    catalogue = store.read_catalogue(state.catalogue)
    with pytest.raises(NoObjectsError) as caught:
        find_dataset(store, state, catalogue, "Rat/Deep/Cortex")
    assert str(caught.value) == (
        "branch Rat/Deep/Cortex has no objects in version 1.1.0; "
        "the nearest branches that have some are Rat/Cortex, Rat, Mouse"
    )
    assert caught.value.exit_status == 4


def test_a_branch_that_is_only_in_another_release_is_told_with_it(store):
    """Before it had objects, or after."""
    with pytest.raises(NoObjectsError) as caught:
        find_in_releases(store, parse_dataset("Mouse/Thalamus@1.0.0"))
    assert str(caught.value) == (
        "branch Mouse/Thalamus has no objects in version 1.0.0, but 1.1.0 has: ask for Mouse/Thalamus@1.1.0; "
        "the nearest branches that have some are Rat, Rat/Cortex"
    )


def test_unknown_branches_and_versions_are_not_found(store):
    """With what may be meant."""
    with pytest.raises(UnknownBranchError, match="did you mean Mouse/Thalamus or Rat/Thalamus"):
        find_in_releases(store, parse_dataset("Mouse/Talamus"))
    for word, means in (("Rat/Cortex/bb", "Rat/Cortex:bb"), ("Rat/x@1.0.0:y/z", "Rat@1.0.0:x/y/z"), ("x/", ":x")):
        with pytest.raises(UnknownBranchError, match=f"a folder that is no branch goes after a colon: {means}$"):
            find_in_releases(store, parse_dataset(word))
    with pytest.raises(Exception, match=r"no version 2\.0\.0 in .*: the last ones are 1\.0\.0, 1\.1\.0"):
        find_in_releases(store, parse_dataset("Mouse@2.0.0"))


def test_nearest_is_the_root_when_nothing_else_is(tmp_path):
    """A store with files in the root only."""
    publish(tmp_path / "s", "1.0.0", snapshot_of("x"), catalogue_of(TREE))
    assert nearest_with_objects("Rat/Cortex", last_release(Store.open(tmp_path / "s"))) == (".",)


def test_a_store_without_release_says_what_to_do(tmp_path):
    """A draft is nothing to read."""
    store = Store.open_or_create(tmp_path / "s", "example")
    with pytest.raises(NoReleaseError, match=r"no release in .*: publish its draft with opendata release VERSION"):
        last_release(store)


def test_files_are_found_across_dataset_borders(store):
    """A path is relative to the branch; whichever dataset below holds the file."""
    for word in (".@1.0.0:Rat/Cortex/b/c", "Rat@1.0.0:Cortex/b/c", "Rat/Cortex@1.0.0:b/c"):
        [file] = open_target(word, store=store.where).select().files()
        assert (file.branch, file.path, file.grade) == ("Rat/Cortex", "Rat/Cortex/b/c", "verifiable")
    target = open_target("Rat/Cortex@1.0.0:bb", store=store.where)
    with pytest.raises(EmptySelectionError, match=r"no file or folder 'bb' in Rat/Cortex@1\.0\.0.*did you mean b\?"):
        target.select()
