"""`opendata clone` and `opendata get` as a person runs them."""

from __future__ import annotations

import json
import re

import pytest

from tests.clone_support import CONTENTS, FIRST, fill_bucket, publish_contents
from tests.core_support import dataset, git_text, opendata


@pytest.fixture
def store(tmp_path, static_server, git_identity):
    """A store whose contents are served."""
    fill_bucket(tmp_path / "bucket", CONTENTS)
    publish_contents(tmp_path / "store", FIRST, CONTENTS, f"{static_server(tmp_path / 'bucket')}/")
    return tmp_path / "store"


def test_clone(store, tmp_path):
    """`clone` says what is where, at which commit, and how to go on; `--json` says it to a program."""
    status, out, err = opendata("clone", "Rat", tmp_path / "rat", "--store", store)
    commit = dataset(store, "Rat").written.commits.main
    assert status == 0, err
    assert out.splitlines()[:2] == [f"Rat@{FIRST} in {tmp_path / 'rat'}", f"commit {commit}"]
    status, out, err = opendata("clone", ".", tmp_path / "all", "--recursive", "--json", "--store", store)
    assert status == 0, err
    document = json.loads(out)
    assert [entry["branch"] for entry in document["datasets"]] == [".", "Mouse", "Rat", "Rat/Cortex", "Rat/Deep/Layer"]
    assert "got" not in document


def test_clone_and_get(store, tmp_path):
    """`--get` brings the contents of what was meant; `get` brings the rest."""
    words = ("--include", "*1.swc", "--get", "--json", "--store", store)
    status, out, err = opendata("clone", "Rat", tmp_path / "rat", *words)
    assert status == 0, err
    assert json.loads(out)["got"]["files"] == json.loads(out)["selected"] == 3
    status, out, err = opendata("get", tmp_path / "rat")
    assert status == 0, err
    assert re.fullmatch(r"got 11 files, \d+ B, here before 3\n", out)
    assert git_text(tmp_path / "rat", "status", "--porcelain") == ""


def test_exit_status(store, tmp_path):
    """Wrong use, nothing found, an occupied folder, refused and wrong bytes have their documented exit statuses."""
    assert opendata("clone", "Rat", tmp_path / "x", "--sparse", "--store", store)[0] == 2
    assert opendata("clone", "s3://nowhere", store, "--endpoint-url", "http://127.0.0.1:9")[0] == 3
    assert opendata("clone", "Cat", tmp_path / "x", "--store", store)[0] == 4
    assert opendata("clone", "Rat", store, "--store", store)[0] == 3
    assert opendata("get", tmp_path)[0] == 3
    assert opendata("clone", "Rat", tmp_path / "rat", "--store", store)[0] == 0
    (tmp_path / "bucket/Rat/cell 3.swc").unlink()
    status, out, err = opendata("get", tmp_path / "rat" / "cell 3.swc")
    assert (status, out) == (5, "got 0 files, 0 B, failed 1\n")
    assert "HTTP 404" in err
    (tmp_path / "bucket/Rat/cell 3.swc").write_text("1 1 0 0 0 x -1\n")
    assert opendata("get", tmp_path / "rat" / "cell 3.swc")[0] == 6


def test_files_elsewhere(store, tmp_path):
    """Files that are meant but lie in subdatasets are told of, with the option that installs them."""
    status, _, err = opendata(
        "clone", ".", tmp_path / "top", "--include", "*.swc", "--include", "top.txt", "--store", store
    )
    assert status == 0
    assert "in subdatasets, which --recursive installs: 16 files" in err
