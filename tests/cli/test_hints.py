"""What is said where a shell has taken a name apart or replaced a glob, and where a snapshot is given with a path."""

import pytest

from tests.core_support import entry_of, opendata, snapshot_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with some files."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.swc", "b.swc", "c.swc"):
        (tmp_path / name).write_text(name)
    snapshot_of(entry_of("Rat/Cortex/a.swc", "a")).write(tmp_path / "s.parquet")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["find", "Brain", "Images"], "in quotes: 'Brain Images'"),
        (["info", "s3://b/my", "own", "data"], "in quotes: 's3://b/my own data'"),
        (["clone", "Rat", "my", "own", "folder"], "in quotes: 'my own folder'"),
        (["sync", "Rat"], "Got unexpected extra argument (Rat)\n"),
        (["find", "--include", "a.swc", "b.swc", "c.swc", "Rat"], "so quote it: '*.swc'"),
        (["find", "Rat", "--include", "a.swc", "b.swc", "c.swc"], "so quote it: '*.swc'"),
    ],
)
def test_extra_words(words, hint):
    """The usage, the words that have no place, and what was probably meant; nothing is run."""
    status, text, said = opendata(*words)
    assert (status, text) == (2, "")
    assert f" {words[0]} [OPTIONS]" in said
    assert "Got unexpected extra argument (" in said
    assert hint in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("find . --grade good", "'--grade': 'good' is not one of 'fixed', 'verifiable', 'versioned', 'mutable'."),
        ("tree --depth two", "'two'"),
        ("tree --depth -1", "-1"),
        ("fetch . --jobs many", "'many'"),
        ("cache prune --older-than long", "'long'"),
        ("find . --larger much", "expected a size such as 1000, 20kB or 1.5MiB, got 'much'"),
    ],
)
def test_a_value_that_is_none_is_told_in_plain_words(words, said):
    """With the option and what was given; not in the words of the library that reads it."""
    status, text, told = opendata(*words.split())
    assert (status, text) == (2, "")
    assert "Invalid value for '--" in told
    assert said in told
    assert "Value error" not in told
    assert "Input should" not in told


def test_a_variable_that_is_no_value(monkeypatch):
    """What was expected of it, and what it is."""
    monkeypatch.setenv("OPENDATA_OFFLINE", "maybe")
    status, _, told = opendata("find", ".")
    assert status == 2
    assert "maybe" in told
    assert "Input should" not in told


@pytest.mark.usefixtures("folder")
def test_a_snapshot_with_a_path():
    """Only datasets of a store take one: it is said how files of a snapshot are chosen, and that works."""
    status, _, said = opendata("find", "s.parquet:Rat/Cortex")
    assert (status, said) == (
        2,
        (
            "error: expected a snapshot alone, got s.parquet:Rat/Cortex: choose its files by globs: s.parquet "
            "--include /Rat/Cortex\n"
        ),
    )
    assert opendata("find", "s.parquet", "--include", "/Rat/Cortex", "--format", "paths")[1] == "Rat/Cortex/a.swc\n"
    assert opendata("find", "s.parquet:Rat/x.parquet")[0] == 2
