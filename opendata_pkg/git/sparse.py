"""Sparse checkouts: which patterns give exactly some files, and the hook that guards the others.

git matches every path with every pattern, so that folders are named where that names the same files; where there would
still be thousands of patterns, all files of a folder are taken of which only some are wanted. Wherever it costs little,
patterns say what is left out, not what is taken: a person's new files are then part of the checkout too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.files import write_text
from opendata_pkg.git.repository import call_git

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MAX_PATTERNS = 1_000
"""Most patterns: 100,000 files take git 1.5 s with 100 of them, 2.5 s with 1,000, 7.6 s with 5,000."""

# At the top, where people put notes, so many patterns may be spent on leaving out.
_TOP_PATTERNS = 100
_SPECIAL = re.compile(r"([\\*?\[])")
_HOOK = "hooks/pre-commit"
_ANNEX_HOOK = "hooks/pre-commit.annex"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """Patterns of a sparse checkout; unless `is_exact`, they match more than was wanted, since that takes fewer."""

    patterns: tuple[str, ...]
    is_exact: bool


def sparse_patterns(wanted: Iterable[str], others: Iterable[str], *, most: int = MAX_PATTERNS) -> Sparse:
    """Patterns, in the syntax of gitignore and to be read in order, that match `wanted` paths and none of the `others`.

    If more than `most` patterns were needed, whole folders' files are matched, those with most patterns first.
    """
    top = _tree_of(wanted, others)
    pieces = [(folder.path, patterns) for folder, patterns in top.pieces(included=False)]
    total = sum(len(patterns) for _, patterns in pieces)
    is_exact = total <= most
    if not is_exact:
        whole = set()
        for path, patterns in sorted(pieces, key=lambda piece: (-len(piece[1]), piece[0])):
            if total <= most:
                break
            whole.add(path)
            total -= len(patterns) - 1
        top.widen(whole)
        pieces = [(folder.path, patterns) for folder, patterns in top.pieces(included=False)]
    return Sparse(patterns=tuple(pattern for _, patterns in pieces for pattern in patterns), is_exact=is_exact)


def _tree_of(wanted: Iterable[str], others: Iterable[str]) -> _Folder:
    """The tree of all folders; files are put together by folder first, since they are many and folders few."""
    groups = {True: _by_folder(wanted), False: _by_folder(others)}
    top = _Folder("")
    for folder in dict.fromkeys([*groups[True], *groups[False]]):
        files = {is_wanted: found.get(folder, []) for is_wanted, found in groups.items()}
        top.add(f"{folder}/" if folder else "", files)
    return top


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[path.rpartition("/")[0]].append(path)
    return found


class _Folder:
    """A folder of the tree: its own files, the folders in it, and how many files below it are wanted and not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.wanted = self.others = 0
        self._files: dict[bool, list[str]] = {True: [], False: []}
        self._folders: dict[str, _Folder] = {}

    def add(self, path: str, files: dict[bool, list[str]]) -> None:
        """Add the files, wanted and not, of a folder at or below this one."""
        self.wanted += len(files[True])
        self.others += len(files[False])
        if path == self.path:
            self._files = files
            return
        name = path[: path.index("/", len(self.path)) + 1]
        if name not in self._folders:
            self._folders[name] = _Folder(name)
        self._folders[name].add(path, files)

    def pieces(self, *, included: bool) -> Iterator[tuple[_Folder, list[str]]]:
        """The patterns for the files below each folder that needs some; `included`: without any, they are matched."""
        if not self.others or not self.wanted:
            if included == bool(self.others):
                yield self, [_pattern(self.path) if self.wanted else f"!{_pattern(self.path)}"]
            return
        mixed = [folder for folder in self._folders.values() if folder.wanted and folder.others]
        taken = [*self._files[True], *(path for path, folder in self._folders.items() if not folder.others)]
        left = [*self._files[False], *(path for path, folder in self._folders.items() if not folder.wanted)]
        include = len(left) <= max(len(taken), 0 if self.path else _TOP_PATTERNS)
        patterns = []
        if include != included:
            patterns.append(_pattern(self.path) if include else f"!{_pattern(self.path)}")
        patterns += [f"!{_pattern(path)}" for path in left] if include else [_pattern(path) for path in taken]
        yield self, patterns
        for folder in mixed:
            yield from folder.pieces(included=include)

    def widen(self, whole: set[str]) -> None:
        """Take all that stands in these folders themselves, and what is in folders below that were left out there."""
        if self.path in whole:
            for path in self._files[False]:
                self._files[True].append(path)
            self._files[False] = []
            for folder in self._folders.values():
                if not folder.wanted:
                    folder.take_all()
        for folder in self._folders.values():
            folder.widen(whole)
        self.wanted = len(self._files[True]) + sum(folder.wanted for folder in self._folders.values())
        self.others = len(self._files[False]) + sum(folder.others for folder in self._folders.values())

    def take_all(self) -> None:
        """Take everything below."""
        self._files = {True: [*self._files[True], *self._files[False]], False: []}
        for folder in self._folders.values():
            folder.take_all()
        self.wanted, self.others = self.wanted + self.others, 0


def _pattern(path: str) -> str:
    """A path as a pattern that matches it alone (or all below it); the empty path matches everything."""
    if not path:
        return "/*"
    escaped = _SPECIAL.sub(r"\\\1", path)
    # "Trailing spaces are ignored unless they are quoted with backslash" (gitignore(5)).
    bare = escaped.rstrip(" ")
    return "/" + bare + "\\ " * (len(escaped) - len(bare))


def set_sparse(clone: Path, patterns: Sequence[str]) -> None:
    """Let git check out only what the patterns match, and guard the rest against being saved as deleted."""
    write_text(clone / ".git" / "info" / "sparse-checkout", "".join(f"{pattern}\n" for pattern in patterns))
    call_git("config", "core.sparseCheckout", "true", cwd=clone)
    call_git("config", "core.sparseCheckoutCone", "false", cwd=clone)
    _install_guard(clone)


_GUARD = """\
#!/bin/sh
# Set up by opendata: this clone is sparse, and DataLad takes files that are not checked out for deleted ones.
# A commit that would delete such files is refused; then git-annex's own hook runs.
deleted=$(git diff --cached --name-only --no-renames --diff-filter=D HEAD 2>/dev/null | head -n 1)
if [ -n "$deleted" ] && [ "$(git config --bool core.sparseCheckout)" = true ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/opendata-guard.XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    export LC_ALL=C
    # What is not checked out, as git itself sees it: in an index made from the patterns it is marked with S.
    mkdir "$work/tree"
    GIT_INDEX_FILE="$work/index" git read-tree HEAD || exit 1
    GIT_INDEX_FILE="$work/index" git --work-tree="$work/tree" read-tree -m -u HEAD || exit 1
    GIT_INDEX_FILE="$work/index" git ls-files -t | sed -n 's/^S //p' | sort > "$work/out"
    git diff --cached --name-only --no-renames --diff-filter=D HEAD | sort > "$work/gone"
    comm -12 "$work/out" "$work/gone" > "$work/both"
    if [ -s "$work/both" ]; then
        count=$(wc -l < "$work/both" | tr -d ' ')
        {
            echo "opendata: refused: this commit would delete files that are only not checked out here: $count,"
            echo "such as $(head -n 1 "$work/both"). Nothing was committed."
            echo "To undo the deletions: git reset --quiet && git sparse-checkout reapply"
            echo "Then save by path: datalad save PATH. Or check out all files first: git sparse-checkout disable"
        } >&2
        exit 1
    fi
    rm -rf "$work"
fi
"""


def _install_guard(clone: Path) -> None:
    """Put the guard before git-annex's own pre-commit hook, which stays as git-annex wrote it."""
    hook, annex_hook = clone / ".git" / _HOOK, clone / ".git" / _ANNEX_HOOK
    script = _GUARD
    if hook.exists():
        hook.rename(annex_hook)
        script += f'exec "$(git rev-parse --git-path {_ANNEX_HOOK})" "$@"\n'
    write_text(hook, script)
    hook.chmod(0o755)
