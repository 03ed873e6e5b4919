"""Folders as sources."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import UTC, datetime

import pytest

from opendata_pkg.listing.folder import EmptyFolderError, FolderNameError, list_folder
from opendata_pkg.model import NotFoundError, SourceError


def test_every_file_is_hashed_under_its_relative_path(tmp_path):
    """Keys, sizes, digests and times, of hidden and empty files and `.git` too."""
    data = {"b.txt": b"bytes", "a/é x+.swc": b"1 1 0", "a/.hidden": b"", ".git/config": b"[core]"}
    for name, content in data.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(0, 1_700_000_000_123_456_789))
    listing = list_folder(tmp_path, jobs=2)
    rows = {row["key"]: row for row in listing.table.to_pylist()}
    assert {key: row["sha256"] for key, row in rows.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in data.items()
    }
    assert {key: row["size"] for key, row in rows.items()} == {name: len(content) for name, content in data.items()}
    assert rows["b.txt"]["last_modified"] == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert listing.notes == ()


def test_links_to_files_are_followed_and_others_are_named(tmp_path):
    """A linked folder may lead in circles; sockets and links to nothing hold no bytes."""
    (tmp_path / "real.txt").write_bytes(b"x")
    (tmp_path / "link.txt").symlink_to("real.txt")
    (tmp_path / "around").symlink_to(".")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket"))
        listing = list_folder(tmp_path, jobs=1)
    assert sorted(listing.table["key"].to_pylist()) == ["link.txt", "real.txt"]
    assert listing.notes == (
        "links to folders were not followed: around",
        "neither files nor folders, and left out: dangling, itself, socket",
    )


def test_names_that_are_no_utf8_are_named(tmp_path):
    """A key is UTF-8: the file must be renamed, and the message says which."""
    (tmp_path / "good").write_bytes(b"")
    folder = os.fsencode(tmp_path)
    for number in range(12):
        with open(folder + b"/caf\xe9%02d" % number, "wb"):  # noqa: PTH123 - a name in bytes
            pass
    with pytest.raises(FolderNameError, match=r"b'caf\\xe900', .*b'caf\\xe909' and 2 more: rename them"):
        list_folder(tmp_path, jobs=1)


def test_an_empty_folder_is_not_found(tmp_path):
    """Folders without files hold nothing."""
    (tmp_path / "sub").mkdir()
    with pytest.raises(EmptyFolderError, match="holds no files"):
        list_folder(tmp_path, jobs=1)


def test_a_missing_folder_is_not_found(tmp_path):
    """The name is said."""
    with pytest.raises(NotFoundError, match=r"no folder .*gone"):
        list_folder(tmp_path / "gone", jobs=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    """Its absence from the snapshot would not be noticed otherwise."""
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(SourceError, match=r"cannot read .*secret"):
        list_folder(tmp_path, jobs=1)


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path, monkeypatch):
    """Its digest would be of bytes that never stood together."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    read = os.readv

    def slow_read(handle, buffers):
        count = read(handle, buffers)
        path.write_bytes(b"y" * 200)
        return count

    monkeypatch.setattr(os, "readv", slow_read)
    with pytest.raises(SourceError, match="log changed while it was read"):
        list_folder(tmp_path, jobs=1)
