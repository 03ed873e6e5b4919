"""git's index of a sparse checkout, as git itself reads it."""

import io
import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.git.index import SparseIndex
from tests.core_support import git

ID = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # of the empty blob
MODES = (b"100644", b"100755", b"120000", b"160000")
_NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & {*name} and name[:1] != b".")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with nothing in it."""
    folder = tmp_path_factory.mktemp("index")
    git(folder, "init", "--quiet")
    git(folder, "config", "core.sparseCheckout", "true")
    return folder


def index_of(lines, wanted, there):
    """An index in which some paths are wanted."""
    stream = io.BytesIO()
    SparseIndex(lines, [number for number, line in enumerate(lines) if line[2] in wanted]).write(stream, there)
    return stream.getvalue()


def read_by_git(repository, data):
    """What `git ls-files` says of an index: tag (S: not there), mode, id and path of each file."""
    (repository / ".git" / "index").write_bytes(data)
    listed = subprocess.run(["git", "ls-files", "-t", "-s", "-z"], cwd=repository, capture_output=True, check=True)
    assert listed.stderr == b""
    entries = (line.split(b"\t", 1) for line in listed.stdout.split(b"\0")[:-1])
    return [(*meta.split()[:3], path) for meta, path in entries]


@settings(max_examples=60)
@given(st.dictionaries(_NAMES, st.tuples(st.sampled_from(MODES), st.booleans()), min_size=1))
@example({b"a" * length: (MODES[length % 4], length % 3 == 0) for length in range(1, 60)})
@example({b"x" * length: (b"120000", length % 2 == 0) for length in (4093, 4094, 4095, 4096, 5000)})
def test_git_reads_what_was_written(repository, files):
    """Names of any length, all modes, there or not: git reads them all."""
    lines = [(files[path][0], ID, path) for path in sorted(files)]
    wanted = {path for path in files if files[path][1]}
    expected = [(b"H" if path in wanted else b"S", mode, name, path) for mode, name, path in lines]
    assert read_by_git(repository, index_of(lines, wanted, {})) == expected


def test_git_need_not_look_again(tmp_path, git_identity):
    """What lstat says of a file is recorded as git records it: git does not read the file again, and finds no fault."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.txt").write_bytes(b"")
    os.utime(tmp_path / "a.txt", ns=(1_500_000_000_123_456_789,) * 2)
    (tmp_path / "link").symlink_to("a.txt")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "two files")
    made = {path.encode(): os.lstat(tmp_path / path) for path in ("a.txt", "link")}
    listed = git(tmp_path, "ls-files", "-s").decode().splitlines()
    lines = [(line[:6].encode(), line[7:47].encode(), line.partition("\t")[2].encode()) for line in listed]
    by_git = git(tmp_path, "ls-files", "--debug")
    (tmp_path / ".git" / "index").write_bytes(index_of(lines, made, made))
    assert git(tmp_path, "ls-files", "--debug") == by_git
    assert git(tmp_path, "fsck", "--no-progress") == b""
    assert git(tmp_path, "status", "--porcelain") == b""
