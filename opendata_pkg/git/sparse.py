"""Sparse checkouts: which patterns give exactly some files, and the hook that guards the others.

git matches every path with every pattern, so that folders are named where that names the same files, and where there
would still be thousands of patterns, folders of which only a part is wanted.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from opendata_pkg.files import write_text
from opendata_pkg.git.repository import call_git

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MAX_PATTERNS = 1_000
"""Most patterns: 100,000 files take git 1.5 s with 100 of them, 2.5 s with 1,000, 7.6 s with 5,000."""

_SPECIAL = re.compile(r"([\\*?\[])")
_HOOK = "hooks/pre-commit"
_ANNEX_HOOK = "hooks/pre-commit.annex"


def sparse_patterns(wanted: Iterable[str], others: Iterable[str], *, most: int = MAX_PATTERNS) -> list[str]:
    """Patterns, in the syntax of gitignore, that match all `wanted` paths and as few as possible of the `others`.

    They match none of the others if `most` patterns suffice for that. Sorted.
    """
    excluded: set[str] = set()
    for path in others:
        excluded.update(_folders(path))
    chosen = {_highest(path, excluded) for path in wanted}
    while len(chosen) > most:
        chosen = _coarser(chosen, most)
    return sorted(_pattern(path) for path in chosen)


def _folders(path: str) -> list[str]:
    """All folders of a path, with their final slash, the top (empty) first."""
    parts = path.split("/")
    return ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts))]


def _highest(path: str, excluded: set[str]) -> str:
    """The highest folder of a path that holds nothing else but wanted files; the path itself if there is none."""
    return next((folder for folder in _folders(path)[1:] if folder not in excluded), path)


def _coarser(chosen: set[str], most: int) -> set[str]:
    """Fewer, larger pieces: the deepest folders give way to themselves as a whole, the fullest first."""
    parents = Counter(_parent(path) for path in chosen if _parent(path))
    if not parents:
        return {""}
    deepest = max(folder.count("/") for folder in parents)
    given = len(chosen)
    replaced = set()
    for folder, count in sorted(parents.items(), key=lambda item: (-item[1], item[0])):
        if folder.count("/") == deepest and given > most:
            replaced.add(folder)
            given -= count - 1
    return {path for path in chosen if _parent(path) not in replaced} | replaced


def _parent(path: str) -> str:
    """The folder that a file or folder is in, with its slash; empty for the top."""
    folder = str(PurePosixPath(path).parent)
    return "" if folder == "." else f"{folder}/"


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
    # What is not checked out, as git itself sees it: an index made from the patterns marks it with S.
    GIT_INDEX_FILE="$work/index" git read-tree -m HEAD || exit 1
    export LC_ALL=C
    GIT_INDEX_FILE="$work/index" git ls-files -t | sed -n 's/^S //p' | sort > "$work/out"
    git diff --cached --name-only --no-renames --diff-filter=D HEAD | sort > "$work/gone"
    comm -12 "$work/out" "$work/gone" > "$work/both"
    if [ -s "$work/both" ]; then
        count=$(wc -l < "$work/both" | tr -d ' ')
        {
            echo "opendata: refused: this commit would delete $count files that are only not checked out here,"
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
        script += f'exec "$(git rev-parse --git-path {shlex.quote(_ANNEX_HOOK)})" "$@"\n'
    write_text(hook, script)
    hook.chmod(0o755)
