"""Which keys `--include` and `--exclude` mean."""

from __future__ import annotations

import pytest

from opendata_pkg.globs import compile_globs
from opendata_pkg.model import UsageError

KEYS = ["a.swc", "x/b.swc", "x/b.txt", "x/y/c.swc", "z/x/d.txt"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], KEYS),
        (["*.swc"], [], ["a.swc", "x/b.swc", "x/y/c.swc"]),
        (["/x/"], [], ["x/b.swc", "x/b.txt", "x/y/c.swc"]),
        (["x/"], [], ["x/b.swc", "x/b.txt", "x/y/c.swc", "z/x/d.txt"]),
        (["*.swc", "!x/y/*"], [], ["a.swc", "x/b.swc"]),
        ([], ["*.swc"], ["x/b.txt", "z/x/d.txt"]),
        (["x/**/c.*", "a.*"], ["a.*"], ["x/y/c.swc"]),
        (["nothing"], [], []),
    ],
)
def test_globs_mean_what_they_mean_to_git(include, exclude, expected):
    """Gitignore's syntax, included first, then excluded."""
    matches = compile_globs(include, exclude)
    assert [key for key in KEYS if matches(key)] == expected


def test_a_broken_glob_names_its_option():
    """A usage error."""
    with pytest.raises(UsageError, match="after --exclude"):
        compile_globs(["*"], ["!"])
