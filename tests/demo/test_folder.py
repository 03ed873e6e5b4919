"""The demo's folder: replaced when it is the demo's own, never touched otherwise."""

from __future__ import annotations

import pytest

from opendata_pkg.demo.folder import CLONE, STORE, ForeignFolderError, prepare_folder, remove_made


def contents(folder):
    """The names in a folder, but for the marker."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".opendata-demo")


def test_absent_and_empty_folders_are_taken(tmp_path):
    """An absent folder is made, an empty one taken."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/new/one"):
        prepare_folder(tmp_path / name)
        assert contents(tmp_path / name) == []


def test_own_folder_is_cleared_of_what_the_demo_made(tmp_path):
    """Run again, the demo removes its store and clone, read-only annex folders too, and leaves other files alone."""
    prepare_folder(tmp_path)
    annex = tmp_path / CLONE / ".git" / "annex" / "objects" / "KEY"
    annex.mkdir(parents=True)
    (annex / "KEY").write_text("content")
    (annex / "KEY").chmod(0o444)
    annex.chmod(0o555)
    (tmp_path / STORE).mkdir()
    (tmp_path / "my-notes.txt").write_text("mine")
    prepare_folder(tmp_path)
    assert contents(tmp_path) == ["my-notes.txt"]


def test_foreign_folder_is_refused_untouched(tmp_path):
    """A folder with other things is refused with status 2, even if its things have the names of ours."""
    (tmp_path / STORE).mkdir()
    (tmp_path / STORE / "index.json").write_text("{}")
    with pytest.raises(ForeignFolderError, match="opendata demo my-demo") as caught:
        prepare_folder(tmp_path)
    assert caught.value.exit_status == 2
    assert (tmp_path / STORE / "index.json").read_text() == "{}"
    assert contents(tmp_path) == [STORE]


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    """A file of the wanted name is refused too."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ForeignFolderError):
        prepare_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_links_are_not_followed(tmp_path):
    """A symbolic link among what the demo made is removed, what it points to stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("mine")
    folder = tmp_path / "demo"
    prepare_folder(folder)
    (folder / STORE).symlink_to(tmp_path / "elsewhere")
    remove_made(folder, STORE)
    assert contents(folder) == []
    assert (tmp_path / "elsewhere" / "precious").read_text() == "mine"
