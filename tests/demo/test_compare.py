"""Comparing a clone with what was uploaded: every way in which they can differ is seen."""

from __future__ import annotations

import pytest

from opendata_pkg.demo.compare import compare_clone

HEADER = "path,key,bytes,sha256,md5,etag,version_id,last_modified,grade\n"


def make_dataset(folder, files):
    """A dataset as a clone shows it: annexed symlinks with contents (None: not here) and an inventory path → key."""
    (folder / ".git" / "annex" / "objects").mkdir(parents=True)
    (folder / "_opendata" / "files").mkdir(parents=True)
    rows = []
    for number, (path, (key, body)) in enumerate(files.items()):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * path.count("/")
        place.symlink_to(f"{up}.git/annex/objects/{number}")
        if body is not None:
            (folder / ".git" / "annex" / "objects" / str(number)).write_bytes(body)
        if key is not None:
            rows.append(f'{path},"{key}",1,,,,,,fixed\n')
    (folder / "_opendata" / "files" / "0.csv").write_text(HEADER + "".join(rows))


@pytest.fixture
def clone(tmp_path):
    """A dataset with a subdataset in it."""
    make_dataset(tmp_path / "c", {"a": ("a", b"1"), "x%25y": ("x%25y", b"2")})
    make_dataset(tmp_path / "c" / "sub" / "one", {"d/b": ("sub/one/d/b", b"3")})
    return tmp_path / "c"


EXPECTED = {"a": b"1", "x%y": b"2", "sub/one/d/b": b"3"}


def test_all_as_it_should_be(clone):
    """Files of all nested datasets are found at their keys; those renamed are told."""
    found = compare_clone(clone, EXPECTED)
    assert found.same == ("a", "sub/one/d/b", "x%y")
    assert (found.different, found.missing, found.strangers) == ((), (), ())
    assert found.renamed == {"x%y": "x%25y"}


def test_other_and_absent_contents_are_seen(clone):
    """Other bytes, a content that is not here, and an object without a file are told apart."""
    (clone / "a").resolve().write_bytes(b"9")
    (clone / "sub/one/d/b").resolve().unlink()
    found = compare_clone(clone, {**EXPECTED, "new": b"4"})
    assert found.different == ("a",)
    assert found.missing == ("new", "sub/one/d/b")


def test_files_beyond_the_expected_are_seen(clone):
    """A listed file that should not be there, and an annexed file in no inventory, are strangers."""
    make_dataset(clone / "sub" / "two", {"unlisted": (None, b"5"), "listed": ("sub/two/listed", None)})
    assert compare_clone(clone, EXPECTED).strangers == ("sub/two/listed", "sub/two/unlisted")
