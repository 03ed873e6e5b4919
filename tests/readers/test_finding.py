"""Files by rules, grade and size."""

from __future__ import annotations

import pytest

from opendata_pkg.model import Grade
from opendata_pkg.plan.selection import EmptySelectionError, Rules
from opendata_pkg.readers.finding import NoneOfGradeError, find, grades_of
from tests.core_support import entry_of, publish, snapshot_of

ENTRIES = (
    entry_of("Rat/a.swc", "1", version="v1"),
    entry_of("Rat/b.swc", "12345", version="null"),
    entry_of("Rat/c.txt", "123", known=None, version="v2"),
    entry_of("Rat/d.txt", "12345", known="md5"),
    entry_of("Rat/e.txt", known=None, size_bytes=None),
)


@pytest.fixture
def word(tmp_path):
    """A snapshot of files of every grade."""
    snapshot_of(*ENTRIES).write(tmp_path / "s.parquet")
    return str(tmp_path / "s.parquet")


def paths(found):
    """The last parts of the paths that are shown."""
    return [file.path.removeprefix("Rat/") for file in found.selection.files()]


def test_all_or_by_rules(word):
    """By path; how many there are is said."""
    found = find(word)
    assert paths(found) == ["a.swc", "b.swc", "c.txt", "d.txt", "e.txt"]
    assert (found.files, found.size_bytes) == (5, 14)
    assert paths(find(word, rules=Rules(include=("*.swc",)))) == ["a.swc", "b.swc"]


@pytest.mark.parametrize(
    ("grade", "expected"),
    [
        (Grade.FIXED, ["a.swc"]),
        (Grade.VERIFIABLE, ["b.swc", "d.txt"]),
        (Grade.VERSIONED, ["c.txt"]),
        (Grade.MUTABLE, ["e.txt"]),
    ],
)
def test_by_grade(word, grade, expected):
    """Each file has the one that it is shown with."""
    found = find(word, grade=grade)
    assert paths(found) == expected
    assert {file.grade for file in found.selection.files()} == {grade}


def test_grades_of_columns_are_those_of_files(word):
    """One rule."""
    selection = find(word).selection
    assert grades_of(selection.table).to_pylist() == [file.grade.value for file in selection.files()]


def test_the_largest_first_and_few_of_them(word):
    """Of one size by path; unknown sizes last; all are counted."""
    assert paths(find(word, sort="size")) == ["b.swc", "d.txt", "c.txt", "a.swc", "e.txt"]
    found = find(word, sort="size", limit=2)
    assert paths(found) == ["b.swc", "d.txt"]
    assert (found.files, found.size_bytes) == (5, 14)


def test_nothing_found_names_what_is_near(word):
    """By rules, as every selection; by grade, the grades that there are."""
    with pytest.raises(EmptySelectionError, match=r"such as 3 \*\.txt"):
        find(word, rules=Rules(include=("*.h5",)))
    with pytest.raises(NoneOfGradeError, match="is fixed by these rules: there are 1 verifiable"):
        find(word, rules=Rules(include=("b.swc",)), grade=Grade.FIXED)


def test_a_dataset_of_a_store(tmp_path):
    """The same, from inventories."""
    publish(tmp_path / "store", "1.0.0", snapshot_of(*ENTRIES), allow_undigested="**")
    assert paths(find("Rat", grade=Grade.VERSIONED, store=tmp_path / "store")) == ["c.txt"]
