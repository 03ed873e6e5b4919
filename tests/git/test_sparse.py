"""Sparse patterns: git, given them, checks out what was wanted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opendata_pkg.git.sparse import sparse_patterns
from tests.core_support import git, git_text

NAMES = st.text(st.sampled_from("ab *?[]!#\\é-"), min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def without_clashes(paths):
    """Paths of which none is a folder of another."""
    return [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]


def checked_out(folder, paths, patterns):
    """What git takes of a tree by these patterns."""
    blob = git_text(folder, "hash-object", "-w", "--stdin")
    listing = "".join(f"100644 {blob}\t{path}\0" for path in paths)
    git(folder, "read-tree", "--empty")
    git(folder, "update-index", "-z", "--index-info", data=listing.encode())
    tree = git_text(folder, "write-tree")
    (folder / ".git/info/sparse-checkout").write_text("".join(f"{pattern}\n" for pattern in patterns))
    git(folder, "read-tree", "-m", "-u", tree)
    listed = git(folder, "ls-files", "-z", "-t").decode().split("\0")[:-1]
    return {line[2:] for line in listed if line.startswith("H")}


@pytest.fixture
def repository(tmp_path):
    """An empty repository with sparse checkouts."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "core.sparseCheckout", "true")
    return tmp_path


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATHS, st.booleans(), min_size=1, max_size=12))
def test_exactly_what_is_wanted(repository, wishes):
    """Whatever the names and the folders, git checks out exactly the wanted files."""
    paths = without_clashes(list(wishes))
    wanted = {path for path in paths if wishes[path]}
    patterns = sparse_patterns(sorted(wanted), sorted(set(paths) - wanted)).patterns
    assert checked_out(repository, paths, patterns) == wanted


def test_few_patterns(repository):
    """Folders are named where that names the same files; too many patterns give way to whole folders, the fullest first."""
    paths = [f"{top}/{folder}/{number}.swc" for top in "ab" for folder in range(5) for number in range(40)]
    assert sparse_patterns(paths[:40], paths[40:]).patterns == ("/*", "!/b/", "!/a/", "/a/0/")
    assert sparse_patterns(paths, []).patterns == ("/*",)
    scattered = [path for number, path in enumerate(paths) if number % 2]
    others = [path for number, path in enumerate(paths) if not number % 2]
    assert len(sparse_patterns(scattered, others).patterns) > 200
    few = sparse_patterns(scattered, others, most=50)
    assert not few.is_exact
    assert len(few.patterns) <= 50
    found = checked_out(repository, paths, few.patterns)
    assert found >= set(scattered)
    assert len(found) < len(paths)


def test_new_files_stay(repository):
    """A file that nobody knew of is part of the checkout, at the top and in folders that are wanted for the most part."""
    patterns = sparse_patterns(["a/1", "a/2", "a/3"], ["a/4", "b/1", "top"]).patterns
    found = checked_out(repository, ["a/1", "a/4", "a/new", "b/1", "b/new", "new", "top"], patterns)
    assert found == {"a/1", "a/new", "new"}
