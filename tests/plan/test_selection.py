"""Selections: which files rules mean, and a digest that standard tools can make."""

import hashlib
import subprocess

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.model import Grade, UsageError
from opendata_pkg.plan.selection import FILES, EmptySelectionError, Origin, Rules, Selection, select, selection_digest
from tests.core_support import catalogue_of, digest_of, entry_of, snapshot_files, snapshot_of

ROWS = (
    entry_of("Rat/Cortex/a.swc", "aaa", version="v1"),
    entry_of("Rat/Cortex/b.h5", "b" * 100, known="md5"),
    entry_of("Rat/c.swc", "c" * 10, known="none", version="v2"),
    entry_of("d.txt", "", known="none"),
)


@pytest.fixture
def files():
    """Four files, one of each grade."""
    return snapshot_files(snapshot_of(*ROWS), catalogue_of())


def paths_of(table):
    """The paths in a table."""
    return table["path"].to_pylist()


def selection_of(table, rules=Rules(), branch=".", version="1.0.0"):  # noqa: B008 - frozen
    """A selection that holds the rows of a table."""
    origin = Origin(source="store", branch=branch, version=version, snapshot="0" * 64, commit=None, date=None)
    return Selection(origin=origin, rules=rules, table=table, catalogue=catalogue_of())


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(), ["Rat/Cortex/a.swc", "Rat/Cortex/b.h5", "Rat/c.swc", "d.txt"]),
        (Rules(include=("*.swc",)), ["Rat/Cortex/a.swc", "Rat/c.swc"]),
        (Rules(include=("*.swc",), exclude=("Cortex/",)), ["Rat/c.swc"]),
        (Rules(path="Rat/Cortex"), ["Rat/Cortex/a.swc", "Rat/Cortex/b.h5"]),
        (Rules(path="Rat/Cortex/"), ["Rat/Cortex/a.swc", "Rat/Cortex/b.h5"]),
        (Rules(path="Rat/c.swc"), ["Rat/c.swc"]),
        (Rules(larger=10), ["Rat/Cortex/b.h5"]),
        (Rules(smaller=3), ["d.txt"]),
        (Rules(larger=2, smaller=11), ["Rat/Cortex/a.swc", "Rat/c.swc"]),
    ],
)
def test_rules_choose_files(files, rules, expected):
    """By folder, globs and size, both bounds exclusive."""
    assert paths_of(select(files, rules, prefix="", where="x")) == expected


def test_paths_in_rules_are_relative_to_the_branch(files):
    """An anchored glob begins at the branch, and so does a path."""
    below = files.slice(0, 3)
    assert paths_of(select(below, Rules(include=("/c.swc",)), prefix="Rat/", where="Rat")) == ["Rat/c.swc"]
    assert paths_of(select(below, Rules(path="Cortex/b.h5"), prefix="Rat/", where="Rat")) == ["Rat/Cortex/b.h5"]


def test_files_of_unknown_size_are_neither_larger_nor_smaller():
    """Nobody can say, so a rule on sizes leaves them out."""
    table = snapshot_files(snapshot_of(entry_of("a", size_bytes=None), "b"), None)
    assert paths_of(select(table, Rules(smaller=1000), prefix="", where="x")) == ["b"]


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            Rules(include=("*.nrrd",), larger=5),
            (
                "no file of Rat@1 matches include *.nrrd, larger 5: without these rules it has 4 files, such as "
                "2 *.swc, 1 *.h5, 1 *.txt; try other globs or sizes"
            ),
        ),
        (
            Rules(path="Rat/Cortx"),
            "no file or folder 'Rat/Cortx' in Rat@1: paths are relative to it; did you mean Rat/Cortex?",
        ),
        (
            Rules(path="elsewhere/c.SWC"),
            "no file or folder 'elsewhere/c.SWC' in Rat@1: paths are relative to it; did you mean Rat/c.swc?",
        ),
        (
            Rules(path="/Rat/Cortex/"),
            "no file or folder '/Rat/Cortex' in Rat@1: paths are relative to it; did you mean Rat/Cortex?",
        ),
        (
            Rules(path="nothing"),
            "no file or folder 'nothing' in Rat@1: paths are relative to it; opendata find lists them",
        ),
    ],
)
def test_an_empty_selection_is_an_error_that_names_what_is_near(files, rules, sentence):
    """A mistyped glob or folder silently copies nothing elsewhere; here it says what is there."""
    with pytest.raises(EmptySelectionError) as caught:
        select(files, rules, prefix="", where="Rat@1")
    assert str(caught.value) == sentence
    assert caught.value.exit_status == 4


def test_no_files_at_all_is_said():
    """An empty dataset has nothing to choose from."""
    with pytest.raises(EmptySelectionError, match=r"no file of Rat@1: nothing is there at all"):
        select(FILES.empty_table(), Rules(), prefix="", where="Rat@1")


def test_globs_that_are_none_are_refused(files):
    """As usage, before anything is read."""
    with pytest.raises(UsageError, match="--include"):
        select(files, Rules(include=("[[:digit:]]",)), prefix="", where="x")


def test_files_come_with_grade_digest_and_url(files):
    """Everything that a reader needs of each."""
    a, b, c, d = selection_of(files).files()
    assert [file.grade for file in (a, b, c, d)] == list(Grade)
    assert (a.digest, b.digest[:4], c.digest, d.digest) == (f"sha256:{digest_of('aaa')}", "md5:", None, None)
    assert a.url.endswith("/Rat/Cortex/a.swc?versionId=v1")
    assert (a.branch, c.branch, d.branch) == ("Rat/Cortex", "Rat", "")
    assert selection_of(files).branches == ("", "Rat", "Rat/Cortex")
    assert selection_of(files).size_bytes == 113


def test_the_digest_can_be_made_with_standard_tools(files):
    """What was asked, then path, bytes and digest of each file, sorted by bytes."""
    rules = Rules(path="Rat", include=("*.swc", "*.h5"), larger=1)
    chosen = selection_of(select(files, rules, prefix="", where="x"), rules)
    lines = ["branch\t.", "version\t1.0.0", "include\t*.h5", "include\t*.swc", "larger\t1", "path\tRat"]
    rows = [f"{file.path}\t{file.size_bytes}\t{file.digest or '-'}" for file in chosen.files()]
    ordered = subprocess.run(
        ["sort"], input="\n".join(rows) + "\n", capture_output=True, text=True, check=True, env={"LC_ALL": "C"}
    ).stdout
    assert chosen.digest == "sha256:" + hashlib.sha256(("\n".join(lines) + "\n" + ordered).encode()).hexdigest()


globs = st.lists(st.text("ab*!/", min_size=1, max_size=4), max_size=4).map(tuple)
sizes = st.none() | st.integers(1, 10**12)


@given(st.builds(Rules, path=st.none() | st.just("a b"), include=globs, exclude=globs, larger=sizes, smaller=sizes))
def test_rules_are_read_as_they_were_written(rules):
    """As JSON and back; recorded rules stay as they are."""
    normal = rules.normal()
    assert Rules.from_dict(normal.to_dict()) == normal
    assert normal.normal() == normal


def test_the_order_of_globs_counts_only_where_it_has_a_meaning(files):
    """Typing the same globs in another order is the same selection; `!` undoes what stands before it."""
    assert Rules(include=("b", "a", "b")).normal().include == ("a", "b")
    assert [Rules(path=path).normal().path for path in ("a/b", "a/b/", "a/b//", None)] == ["a/b", "a/b", "a/b", None]
    undone = Rules(include=("*.swc", "!c.swc")).normal()
    assert undone.include == ("*.swc", "!c.swc")
    assert paths_of(select(files, undone, prefix="", where="x")) == ["Rat/Cortex/a.swc"]


rows = st.lists(
    st.tuples(st.text(min_size=1), st.none() | st.integers(0, 9), st.none() | st.just(f"sha256:{digest_of('x')}")),
    max_size=4,
    unique_by=lambda row: row[0],
)


@given(rows, rows)
def test_digests_differ_where_files_do(one, other):
    """No path, size or digest can be mistaken for another."""
    first, second = (selection_digest(".", "1.0.0", Rules(), listed) for listed in (one, other))
    assert (first == second) == (sorted(one, key=str) == sorted(other, key=str))


def test_the_digest_covers_what_was_asked(files):
    """Branch, version and rules: the same files by another question are another selection."""
    digests = {
        selection_of(files).digest,
        selection_of(files, branch="Rat").digest,
        selection_of(files, version=None).digest,
        selection_of(files, Rules(smaller=10**9)).digest,
        selection_of(pa.concat_tables([files.slice(0, 2)])).digest,
    }
    assert len(digests) == 5
