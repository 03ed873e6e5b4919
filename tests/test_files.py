"""Files that are replaced whole or not at all."""

import stat

import pytest

from opendata_pkg.files import replace_all, replacing, write_bytes, write_text
from tests.core_support import temporary_files


class _StopError(Exception):
    """Stands for whatever may happen halfway: a full disk, Ctrl-C, a broken source."""


def test_a_failure_leaves_the_old_file(tmp_path):
    """What was there before stays, byte for byte, and no temporary file is left beside it."""
    path = tmp_path / "index.json"
    path.write_bytes(b"old")
    with pytest.raises(_StopError):
        _fail_halfway(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_makes_no_new_file(tmp_path):
    """Where nothing was, nothing is."""
    with pytest.raises(_StopError):
        _fail_halfway(tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == []


def _fail_halfway(path):
    with replacing(path) as stream:
        stream.write(b"half of the new")
        raise _StopError


def test_many_files_take_their_places_together(tmp_path):
    """All are whole before the first is seen, and they come in the order given; a failure leaves the old ones."""
    old, new, wrong = tmp_path / "a" / "old", tmp_path / "b" / "new", tmp_path / "old"
    write_text(old, "old")
    wrong.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_all({new: b"1", wrong: b"2", old: b"3"})
    assert (old.read_text(), new.read_text()) == ("old", "1")
    with pytest.raises(FileExistsError):
        replace_all({new: b"2", old / "below a file": b""})
    assert (old.read_text(), new.read_text()) == ("old", "1")
    replace_all({new: b"2", old: b"3"})
    assert (old.read_text(), new.read_text()) == ("3", "2")
    assert temporary_files(tmp_path) == []
    assert stat.S_IMODE(new.stat().st_mode) == 0o644


def test_the_old_file_is_there_until_the_block_ends(tmp_path):
    """A reader who looks while we write sees the old file whole."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_folders_are_made(tmp_path):
    """A file may be written where no folder is yet."""
    write_bytes(tmp_path / "a" / "b" / "c", b"x")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"


def test_everybody_may_read_what_is_published(tmp_path):
    """A web server of another user can serve the file, whatever the umask of who wrote it."""
    write_bytes(tmp_path / "a", b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_line_ends_and_letters_stay(tmp_path):
    """Text is written as UTF-8 with the line ends it has, on every system."""
    write_text(tmp_path / "a", "é\r\n漢\n")
    assert (tmp_path / "a").read_bytes() == "é\r\n漢\n".encode()


def test_a_name_as_long_as_a_name_may_be(tmp_path):
    """The temporary name of a file of 255 bytes still fits."""
    write_bytes(tmp_path / ("n" * 255), b"x")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]
