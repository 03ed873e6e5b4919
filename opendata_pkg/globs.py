"""Which keys or paths a person means by `--include` and `--exclude`: gitignore's own syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def compile_globs(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """A test of paths: matched by `include` (all, if it is empty) and not by `exclude`.

    Raises:
        UsageError: a glob is not in gitignore's syntax.
    """
    included, excluded = _compile(include, "--include"), _compile(exclude, "--exclude")

    def matches(path: str) -> bool:
        return (not include or included.match_file(path)) and not excluded.match_file(path)

    return matches


def _compile(globs: Sequence[str], option: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(globs)
    except ValueError as error:
        raise UsageError(f"expected gitignore-style globs such as '*.swc' after {option}: {error}") from error
