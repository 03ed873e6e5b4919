"""Which keys or paths a person means by `--include` and `--exclude`: gitignore's own syntax, and one rule of our own.

The rule: a glob that matches the file itself beats one that matches a folder above it (as in git, `!folder/` does not
undo `*.swc`); among those the last wins, so that `x/` and then `!x/y/` mean all of `x` but `x/y`. pathspec translates
the globs but does not judge by them: its answer depends on its version and on the engines that happen to be installed,
and a selection that is cited must be the same everywhere.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# So many globs are tried as one expression: more would outgrow the tables that make RE2 quick.
_GLOBS_AT_ONCE = 32
# RE2 for "a character that is none".
_NEVER = r"[^\x00-\x{10FFFF}]"
# In an expression: a character that stands for itself, or a class with its sign, a `]` in first place, and the rest.
_CLASS = re.compile(r"\\.|\[(?P<sign>\^?)(?P<first>\]?)(?P<rest>(?:\\.|[^\]\\])*)\]", re.DOTALL)
# `[[:digit:]]`: git knows such classes, pathspec reads them as other things without a word.
_NAMED_CLASS = re.compile(r"\[\[[:.=]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glob:
    """One line of gitignore's syntax. The group of `regex`, if any, is the slash behind a folder that it matched."""

    include: bool
    regex: re.Pattern[str]


def compile_globs(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """A test of paths: matched by `include` (all, if it is empty) and not by `exclude`.

    Raises:
        UsageError: a glob is not in gitignore's syntax.
    """
    included, excluded = _parse(tuple(include), "--include"), _parse(tuple(exclude), "--exclude")

    def matches(path: str) -> bool:
        path = path.removeprefix("/") if path.startswith("/") else path.removeprefix("./")
        return (not include or _match_path(included, path)) and not _match_path(excluded, path)

    return matches


def match_globs(paths: pa.Array | pa.ChunkedArray, include: Sequence[str], exclude: Sequence[str]) -> pa.Array:
    """For each path whether `compile_globs(include, exclude)` takes it: booleans of the same length.

    A million paths take about 0.2 s a glob, ten times that for the few globs that RE2 does not know. Paths must hold no
    line feed; those of a dataset's tree never do (opendata_pkg.paths).

    Raises:
        UsageError: a glob is not in gitignore's syntax.
    """
    included, excluded = _parse(tuple(include), "--include"), _parse(tuple(exclude), "--exclude")
    paths = paths.combine_chunks() if isinstance(paths, pa.ChunkedArray) else paths
    if any(pc.any(pc.starts_with(paths, start)).as_py() for start in ("/", "./")):
        paths = pc.replace_substring_regex(paths, r"^\.?/", "")
    chosen = _match_paths(included, paths) if include else _constant(paths, value=True)
    return pc.and_not(chosen, _match_paths(excluded, paths)) if excluded else chosen


@lru_cache(maxsize=16)
def _parse(globs: tuple[str, ...], option: str) -> list[_Glob]:
    """The globs that say something: neither empty nor comments. Parts of a table ask for the same again and again."""
    for glob in globs:
        if _NAMED_CLASS.search(glob):
            raise UsageError(f"expected characters or ranges such as [0-9] in the globs after {option}, got {glob!r}")
    # Imported where used: most people name no globs, and wait for nothing.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            # "Possible nested set" and the like: of no use to those who wrote globs.
            warnings.simplefilter("ignore", FutureWarning)
            return [
                _Glob(include=pattern.include, regex=_within_names(pattern.regex))
                for pattern in GitIgnoreSpec.from_lines(globs).patterns
                if pattern.include is not None and pattern.regex is not None
            ]
    except (ValueError, re.error) as error:
        raise UsageError(f"expected gitignore-style globs such as '*.swc' after {option}: {error}") from error


def _within_names(regex: re.Pattern[str]) -> re.Pattern[str]:
    """The expression with classes such as `[!a]` that match no slash, as in git; those that pathspec makes do."""
    return re.compile(_CLASS.sub(_without_slash, regex.pattern), regex.flags)


def _without_slash(found: re.Match[str]) -> str:
    if not found["sign"] or found["rest"].startswith("/"):
        return found[0]
    return f"[^/{chr(92) if found['first'] else ''}{found['first']}{found['rest']}]"


def _match_path(globs: Sequence[_Glob], path: str) -> bool:
    by_folder: bool | None = None
    for glob in reversed(globs):
        if (found := glob.regex.search(path)) is None:
            continue
        if not any(found.groups()):
            return glob.include
        if by_folder is None:
            by_folder = glob.include
    return bool(by_folder)


def _match_paths(globs: Sequence[_Glob], paths: pa.Array) -> pa.Array:
    if all(glob.include for glob in globs):
        # What is matched, and not how, is all there is to know.
        chosen = _constant(paths, value=False)
        for start in range(0, len(globs), _GLOBS_AT_ONCE):
            chosen = pc.or_(chosen, _any_of(globs[start : start + _GLOBS_AT_ONCE], paths))
        return chosen
    by_file = by_folder = pa.nulls(len(paths), pa.bool_())
    for glob in globs:
        value = pa.scalar(glob.include, pa.bool_())
        matched, as_file = _levels_of(glob, paths)
        by_folder = pc.if_else(pc.and_not(matched, as_file), value, by_folder)
        by_file = pc.if_else(as_file, value, by_file)
    return pc.coalesce(by_file, by_folder, pa.scalar(value=False))


def _any_of(globs: Sequence[_Glob], paths: pa.Array) -> pa.Array:
    try:
        return pc.match_substring_regex(paths, "|".join(f"(?:{_without_group(glob, '/')})" for glob in globs))
    except (pa.ArrowInvalid, UnicodeEncodeError):
        # RE2 lacks some of what Python has, and sets bounds; the others must not suffer for one.
        if len(globs) > 1:
            halves = globs[: len(globs) // 2], globs[len(globs) // 2 :]
            return pc.or_(*(_any_of(half, paths) for half in halves))
        return _levels_by_python(globs[0], paths)[0]


def _levels_of(glob: _Glob, paths: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Whether each path is matched at all, and whether it is the file itself and not a folder above it."""
    # A range such as `[+-9]` has a slash in it: then a path may be matched both ways, and Python tells which is first.
    if "[" in glob.regex.pattern.replace("[^/]", ""):
        return _levels_by_python(glob, paths)
    try:
        return tuple(pc.match_substring_regex(paths, _without_group(glob, mark)) for mark in ("/", _NEVER))
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return _levels_by_python(glob, paths)


def _levels_by_python(glob: _Glob, paths: pa.Array) -> tuple[pa.Array, pa.Array]:
    matched, as_file = [], []
    for path in paths.to_pylist():
        found = glob.regex.search(path)
        matched.append(found is not None)
        as_file.append(found is not None and not any(found.groups()))
    return pa.array(matched, pa.bool_()), pa.array(as_file, pa.bool_())


def _without_group(glob: _Glob, slash: str) -> str:
    """The glob's expression with `slash` where pathspec marks the slash behind a folder that was matched."""
    expression = glob.regex.pattern
    for name in glob.regex.groupindex:
        expression = expression.replace(f"(?P<{name}>/)", slash)
    return expression


def _constant(paths: pa.Array, *, value: bool) -> pa.Array:
    return pa.repeat(pa.scalar(value), len(paths))
