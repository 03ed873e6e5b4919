"""Which keys and paths `--include` and `--exclude` mean."""

from __future__ import annotations

import re
import subprocess
import warnings

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from opendata_pkg.globs import compile_globs, match_globs
from opendata_pkg.model import UsageError

KEYS = ["a.swc", "x/b.swc", "x/b.txt", "x/y/c.swc", "z/x/d.txt"]


def chosen_of(keys, include, exclude=()):
    """The keys that are taken: one by one and all at once must agree."""
    matches = compile_globs(include, exclude)
    mask = match_globs(pa.array(keys, pa.string()), include, exclude)
    assert mask.to_pylist() == [matches(key) for key in keys]
    return [key for key in keys if matches(key)]


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
        (["# no glob"], [], []),
        (["[a-z].swc"], ["/[!a]*"], ["a.swc"]),
    ],
)
def test_globs_mean_what_they_mean_to_git(include, exclude, expected):
    """Gitignore's syntax, included first, then excluded."""
    assert chosen_of(KEYS, include, exclude) == expected


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        # The last wins …
        (["x/", "!/x/y/"], ["x/b.swc", "x/b.txt", "z/x/d.txt"]),
        (["!/x/y/", "x/"], ["x/b.swc", "x/b.txt", "x/y/c.swc", "z/x/d.txt"]),
        (["*.swc", "!x/b*"], ["a.swc", "x/y/c.swc"]),
        # … but one that matches the file beats one that matches a folder above it.
        (["*.swc", "!x/"], ["a.swc", "x/b.swc", "x/y/c.swc"]),
        (["!*.txt", "/x/"], ["x/b.swc", "x/y/c.swc"]),
        (["!*"], []),
    ],
)
def test_the_last_glob_wins_and_the_file_beats_its_folders(include, expected):
    """The rule that the module states, on which cited selections rest."""
    assert chosen_of(KEYS, include) == expected


NAMES = st.text(st.sampled_from("abé# !-]^[\\*日"), min_size=1, max_size=3).filter(lambda name: name.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.one_of(
    st.sampled_from(
        ["**", "*", "*b", "a*", "?", "[ab]", "[!a]b", "[^é]", "[]a]", "[b-a]", "[[a]", "[日-]?", "\\#", "\\!"]
    ),
    st.sampled_from(["a", "b", "é", "日", "a b", "ab", "-", "^"]),
)
GLOBS = st.builds(
    lambda mark, root, parts, end: mark + root + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "/", " ", "\\ "]),
)


def judged_by_pathspec(globs, path):
    """Pathspec's own answer, by the engine that it always has; None if it refuses the globs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return GitIgnoreSpec.from_lines(globs, backend="simple").match_file(path)


@given(
    st.lists(GLOBS.filter(lambda glob: not re.search(r"\[(?:b-a|!|\^)", glob)), min_size=1, max_size=4),
    st.lists(PATHS, max_size=8),
)
def test_pathspec_agrees(globs, paths):
    """Spaces, brackets, `**`, `!`, escapes and other alphabets: one by one and all at once as pathspec's own engine."""
    assert chosen_of(paths, globs) == [path for path in paths if judged_by_pathspec(globs, path)]


@pytest.mark.parametrize(
    "glob",
    ["[!0-9]*", "x[!0-9]*", "x[^0-9]y", "[!]a]*", "[^]]?", "[!\\\\]a", "/x[!a]", "**[!0]y", "[^]-a]", "\\[!a]", "[^^]"],
)
def test_a_class_matches_no_slash(glob, tmp_path):
    """`run[!0-9]*.h5` is about a name, not about a folder `run`: by git's own judgement."""
    paths = [f"{a}{b}{c}" for a in ("x", "x/x", "[", "0") for b in ("/", "", "]", "!", "^") for c in ("y", "a", "a]")]
    (tmp_path / "globs").write_text(f"{glob}\n")
    command = ["git", "-c", f"core.excludesFile={tmp_path / 'globs'}", "check-ignore", "--no-index", "-z", "--stdin"]
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    asked = "\0".join(paths)
    done = subprocess.run(command, cwd=tmp_path, input=asked, capture_output=True, text=True, check=False)
    judged = set(done.stdout.split("\0"))
    assert chosen_of(paths, [glob]) == [path for path in paths if path in judged]


@given(st.lists(PATHS, unique=True, max_size=8))
def test_a_path_written_as_a_glob_means_itself(paths):
    """With its special characters escaped, and nothing else beside it but what lies below."""
    for path in paths:
        glob = "/" + "".join(f"\\{letter}" if letter in "\\[]!*#? " else letter for letter in path)
        below = [other for other in paths if other == path or other.startswith(path + "/")]
        assert chosen_of(paths, [glob]) == below


def test_many_globs():
    """A hundred globs are as good as one, even if RE2 does not know one of them."""
    keys = [f"d/{number}.txt" for number in range(200)]
    globs = [f"/d/{number}.*" for number in range(100)]
    assert chosen_of(keys, globs) == keys[:100]
    assert chosen_of(keys, [*globs, "15[0-4-6]*"]) == keys[:100] + [f"d/15{digit}.txt" for digit in (0, 1, 2, 3, 4, 6)]
    assert (
        chosen_of(keys, [*globs, "!1*", "!9[0-4-9]*", "!\udcff"]) == keys[:1] + keys[2:10] + keys[20:90] + keys[95:99]
    )


def test_chunks_and_no_paths():
    """What a table holds is taken as it comes."""
    assert match_globs(pa.chunked_array([["a"], ["b", "a"]]), ["a"], []).to_pylist() == [True, False, True]
    assert match_globs(pa.array([], pa.string()), ["a", "!b"], ["c"]).to_pylist() == []
    assert chosen_of(["/a", "./a", "b"], ["a"]) == ["/a", "./a"]


@pytest.mark.parametrize("glob", ["!", "\\", "[z-a]", "[[:digit:]]"])
@pytest.mark.parametrize("judge", [compile_globs, lambda *globs: match_globs(pa.array(["a"]), *globs)])
def test_a_broken_glob_names_its_option(judge, glob):
    """A usage error."""
    with pytest.raises(UsageError, match="after --exclude"):
        judge(["*"], [glob])
