"""Names that are fine here and trouble elsewhere: reported, each once, and never renamed."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.plan.portable import maybe_troubled, name_troubles

WINDOWS = "cannot be a name on Windows"
FORM = "is not in Unicode form NFC: macOS shows it otherwise"


def alike(other):
    """The words for a name that folds onto another."""
    return f"differs from {other!r} only in case or Unicode form: one file on macOS and Windows"


@pytest.mark.parametrize(
    "name", ["a:b", "a?", "x*", '"', "<", ">", "|", "a.", "a ", "con", "CON.txt", "nul.tar.gz", "Lpt1", "COM¹.x"]
)
def test_what_windows_refuses(name):
    """Its signs, its devices with any extension, a dot or blank at the end; as a file and as a folder."""
    assert list(name_troubles([name])) == [(name, WINDOWS)]
    assert list(name_troubles([f"d/{name}/x"])) == [(f"d/{name}", WINDOWS)]


@pytest.mark.parametrize("name", ["a b", "console", "con1", "a.b", ".a", "a'b", "é", "日本", "com", "a+b=c"])
def test_what_is_no_trouble(name):
    """Names that all systems take."""
    assert list(name_troubles([f"{name}/{name}"])) == []


def test_two_names_of_one_file():
    """Names that fold onto each other, by case or by Unicode form: the second is named, with the first."""
    assert list(name_troubles(["a/X", "a/b", "a/x"])) == [("a/x", alike("a/X"))]
    assert list(name_troubles(["\u00e9", "e\u0301"])) == [("e\u0301", alike("\u00e9"))]
    assert list(name_troubles(["straße", "STRASSE"])) == [("STRASSE", alike("straße"))]


def test_other_unicode_forms():
    """A name in another form than NFC shows otherwise on macOS."""
    assert list(name_troubles(["e\u0301"])) == [("e\u0301", FORM)]


def test_a_folder_is_named_once():
    """However many files are in it, and however it troubles."""
    assert list(name_troubles(["con/a", "con/b", "con/c/d"])) == [("con", WINDOWS)]
    assert list(name_troubles(["A/x", "a/y", "a/z", "a/q/r"])) == [("a", alike("A"))]


def test_nothing_in_nothing():
    """No files, no troubles."""
    assert list(name_troubles([])) == []


@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "A", "con", "com1", "con.x", "b.", "b ", "é", "q?", "aux1", "x.y"]),
            min_size=1,
            max_size=3,
        ).map("/".join),
        max_size=6,
        unique=True,
    )
)
def test_nothing_is_overlooked_in_bulk(paths):
    """Looking only at what may be troubled says the same."""
    column = pa.chunked_array([pa.array(sorted(paths), pa.string())])
    assert list(name_troubles(maybe_troubled(column).to_pylist())) == list(name_troubles(sorted(paths)))
